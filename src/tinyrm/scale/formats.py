"""JSON lines in the format that a name asks for: in one file, or in a folder of files of so many rows each."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".parquet")
CHUNK = 4096
"""Rows that become one row group of a Parquet file."""
Write = Callable[[Iterable[bytes], Path], None]


def write_as(lines: Path, made: Path, suffix: str, shard_rows: int | None = None) -> None:
    """Writes the file `lines` as `made`, in the format of `suffix`.

    shard_rows: `made` becomes a folder of `part-00000` and so on, which all but the last hold so many rows.

    Raises:
        UserError: the rows do not fit into one Parquet table.
    """
    write = _writer(lines, suffix)
    with lines.open("rb") as file:
        if shard_rows is None:
            write(file, made)
            return
        made.mkdir()
        for number in itertools.count():
            if not (first := next(file, None)):
                return
            shard = itertools.chain([first], itertools.islice(file, shard_rows - 1))
            write(shard, made / f"part-{number:05}{suffix}")


def suffix_of(name: str) -> str:
    """Which of SUFFIXES a name ends in; the longest, and empty if none."""
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default="")


def _writer(lines: Path, suffix: str) -> Write:
    if suffix == ".parquet":
        return partial(_write_parquet, schema=_schema(lines), source=lines)
    return _write_gzip if suffix.endswith(".gz") else _write_plain


def _write_plain(lines: Iterable[bytes], made: Path) -> None:
    with made.open("wb") as file:
        file.writelines(lines)


def _write_gzip(lines: Iterable[bytes], made: Path) -> None:
    # No name and no time within, so that the same rows give the same bytes.
    with made.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped:
        zipped.writelines(lines)


def _schema(lines: Path) -> Any:
    """What the columns of all rows hold, which only the last of them settles; memory is that of a chunk."""
    import pyarrow

    schema = pyarrow.schema([])
    try:
        with lines.open("rb") as file:
            for chunk in _chunks(file):
                names = dict.fromkeys(name for row in chunk for name in row)  # pyarrow takes them of the first row
                found = pyarrow.Table.from_pylist([{**names, **chunk[0]}, *chunk[1:]]).schema
                schema = pyarrow.unify_schemas([schema, found], promote_options="permissive")
    except (pyarrow.ArrowException, OverflowError) as problem:
        raise _no_table(lines, problem) from None
    return schema


def _write_parquet(lines: Iterable[bytes], made: Path, *, schema: Any, source: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetWriter(made, schema) as writer:
            for chunk in _chunks(lines):
                writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))
    except (pyarrow.ArrowException, OverflowError) as problem:
        raise _no_table(source, problem) from None


def _no_table(lines: Path, problem: Exception) -> UserError:
    return UserError(
        f"the rows do not fit into one Parquet table: {problem}; all of them are judged and stand in {lines}, "
        "which is JSONL: rename it"
    )


def _chunks(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    stream = iter(lines)
    while chunk := [_filled(json.loads(line)) for line in itertools.islice(stream, CHUNK)]:
        yield chunk


def _filled(value: Any) -> Any:
    """The value with null for every empty object, of which Parquet can make no column."""
    if isinstance(value, dict):
        return {key: _filled(inner) for key, inner in value.items()} or None
    return [_filled(inner) for inner in value] if isinstance(value, list) else value
