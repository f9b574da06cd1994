"""Rows of a file, a folder, standard input or a data set on the Hub, one by one, good or bad."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tinyrm.errors import UserError, require

_SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval")
_SAME_SPLIT = {"training": "train", "testing": "test", "valid": "validation", "val": "validation", "dev": "validation"}
_NOT_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands: its columns in `value`, or in `error` why it cannot be read.

    broken: the file is at fault, not a row of it, and what came after is lost.
    """

    where: str
    value: dict[str, Any] | None
    error: str | None = None
    broken: bool = False


class _Broken(Exception):
    """The file ends or goes wrong in the middle."""


def read_rows(path: str | Path, split: str = "train") -> Iterator[RawRow]:
    """Streams the rows of JSONL, JSON, CSV, TSV (each also as .gz) or Parquet.

    `path` is a file, a folder of such files, `-` for JSONL on standard input, or `org/name` on the Hub.
    `split` counts for the Hub and for a folder whose file names carry names of splits. A bad line
    becomes a row with an error and reading goes on. Memory stays constant, but for a .json document,
    whose text is held whole.

    Raises:
        UserError: there is nothing at `path`, its format is unknown, or the Parquet is corrupt.
    """
    if str(path) == "-":
        return _jsonl(sys.stdin.buffer, "stdin")
    path = Path(path)
    if path.is_dir():
        return _folder(path, split)
    if path.exists():
        if _format(path) is None:
            raise UserError(f"{path} is no file of rows: known are {', '.join(_READERS)}, and .gz of all but .parquet")
        return _file(path, path.name)
    if is_hub_name(path.as_posix()):
        return _hub(path.as_posix(), split)
    raise UserError(f"no file or folder at {path}")


def is_hub_name(path: str) -> bool:
    """Whether `path` looks like `org/name` on the Hub rather than like a file of rows."""
    return _HUB_NAME.fullmatch(path) is not None and _format(Path(path)) is None


def _format(path: Path) -> str | None:
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    suffix = plain.suffix.lower()
    return suffix if suffix in _READERS and (plain is path or suffix != ".parquet") else None


def _file(path: Path, name: str) -> Iterator[RawRow]:
    try:
        path.open("rb").close()
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror}") from None
    return _READERS[_format(path) or ""](path, name)


def _folder(folder: Path, split: str) -> Iterator[RawRow]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and _format(path)
        and path.name not in _NOT_ROWS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise UserError(f"the folder {folder} holds no file of rows ({', '.join(_READERS)})")
    splits = {path: _split_of(path.relative_to(folder)) for path in files}
    wanted = [path for path in files if splits[path] == _SAME_SPLIT.get(split, split)]
    if not wanted and None not in splits.values():
        raise UserError(f"the folder {folder} has no split {split!r}; it has {sorted(set(map(str, splits.values())))}")
    return (row for path in wanted or files for row in _file(path, path.relative_to(folder).as_posix()))


def _split_of(path: Path) -> str | None:
    """Name of the split that a path of the Hub's layout carries: `data/test-00000-of-00001.parquet` -> `test`."""
    if shard := re.match(r"(.+)-\d{5}-of-\d{5}", path.name):
        return _SAME_SPLIT.get(shard[1], shard[1])
    for part in (re.split(r"[^a-z]", path.name.lower())[0], *path.parts[:-1]):
        if part in _SPLITS:
            return _SAME_SPLIT.get(part, part)
    return None


def _hub(name: str, split: str) -> Iterator[RawRow]:
    datasets = require("datasets", "train")
    try:
        rows = datasets.load_dataset(name, split=split, streaming=False)
    except Exception as problem:  # the Hub's client fails in the classes of many libraries
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise UserError(
            f"no file at {name}, and the Hub does not give split {split!r} of a data set: {reason}"
        ) from None
    return (RawRow(f"{name} {split} row {number}", _mended(dict(row))) for number, row in enumerate(rows, 1))


def _lines(path: Path) -> Iterator[bytes]:
    """Lines with their ends, unzipped; raises _Broken where a gzip stream is cut or corrupt."""
    with path.open("rb") as file:
        # Downloaders often unzip a .gz and keep its name, so the first byte decides.
        zipped = path.suffix.lower() == ".gz" and file.peek(1)[:1] == b"\x1f"
        try:
            yield from gzip.GzipFile(fileobj=file) if zipped else file
        except EOFError:
            raise _Broken("the file is truncated: its gzip stream ends too early") from None
        except (OSError, zlib.error) as problem:
            raise _Broken(f"the file is truncated or corrupt: {problem}") from None


def _jsonl_file(path: Path, name: str) -> Iterator[RawRow]:
    return _jsonl(_lines(path), name)


def _jsonl(lines: Iterable[bytes], name: str) -> Iterator[RawRow]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if text := _text(line):
                yield _parsed(text, f"{name}:{number}")
    except _Broken as broken:
        yield RawRow(f"{name}:{number + 1}", None, str(broken), broken=True)


def _text(line: bytes) -> str:
    # A crash may leave NUL bytes around good lines, and files joined with `cat` hold a BOM in their middle.
    return line.decode("utf-8", "replace").strip(" \t\r\n\0\ufeff")


def _parsed(text: str, where: str) -> RawRow:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return RawRow(where, None, f"not JSON: {problem}")
    return _row(value, where, "\\u" in text)


def _row(value: Any, where: str, suspect: bool) -> RawRow:
    if not isinstance(value, dict):
        return RawRow(where, None, f"not a JSON object but a {type(value).__name__}")
    return RawRow(where, _mended(value) if suspect else value)


def _mended(value: Any) -> Any:
    """The value with lone surrogates, which no encoding can write, replaced by U+FFFD in all its strings."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    return [_mended(inner) for inner in value] if isinstance(value, list) else value


def _json_file(path: Path, name: str) -> Iterator[RawRow]:
    try:
        head = list(islice(filter(None, map(_text, _lines(path))), 2))
    except _Broken:
        head = []
    if len(head) == 2 and _parsed(head[0], "").error is None:  # JSONL by another name
        yield from _jsonl_file(path, name)
        return
    parts: list[bytes] = []
    broken = None
    try:
        parts.extend(_lines(path))
    except _Broken as problem:
        broken = str(problem)
    text = _text(b"".join(parts))
    if text.startswith("["):
        yield from _items(text, name, broken)
        return
    document = _parsed(text, name) if text else None
    if document and document.value is not None:
        lists = [value for value in document.value.values() if isinstance(value, list)]
        rows = lists[0] if len(lists) == 1 and all(map(_is_row, lists[0])) else [document.value]
        yield from (RawRow(f"{name} item {number}", row) for number, row in enumerate(rows, 1))
    elif document:
        yield from _jsonl(b"".join(parts).splitlines(), name)
    if broken:
        yield RawRow(name, None, broken, broken=True)


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and not {"role", "from"} & value.keys()  # a message is part of a row


def _items(text: str, name: str, broken: str | None) -> Iterator[RawRow]:
    """Items of a JSON array, one by one, so that those before a fault are kept."""
    position, number = 1, 0
    skip = re.compile(r"[\s,]*")
    while True:
        number += 1
        where = f"{name} item {number}"
        position = skip.match(text, position).end()  # type: ignore[union-attr]
        if text.startswith("]", position):
            if position + 1 < len(text):
                yield RawRow(
                    name, None, "the file goes on after the end of its array; the rest is left out", broken=True
                )
            return
        start = position
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError) as problem:
            yield RawRow(where, None, broken or f"not JSON: {problem}; the rest of the file is left out", broken=True)
            return
        yield _row(value, where, "\\u" in text[start:position])


def _csv_file(path: Path, name: str) -> Iterator[RawRow]:
    delimiter = "\t" if _format(path) == ".tsv" else ","
    # The limit is the process's; long conversations exceed its 128 kB. Raised, never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = (line.decode("utf-8", "replace").replace("\0", "\ufffd").removeprefix("\ufeff") for line in _lines(path))
    reader = csv.reader(lines, delimiter=delimiter)
    header: list[str] | None = None
    number = 0
    while True:
        where = f"{name} row {number + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _Broken as broken:
            yield RawRow(where, None, str(broken), broken=True)
            return
        except csv.Error as problem:
            fields, error = ["?"], f"not CSV: {problem}"
        else:
            error = (
                f"{len(fields)} fields, but the header has {len(header)}"
                if header and len(fields) > len(header)
                else ""
            )
        if not fields:
            continue
        if header is None:
            header = fields
            continue
        number += 1
        yield RawRow(where, None, error) if error else RawRow(where, dict(zip(header, fields, strict=False)))


def _parquet_file(path: Path, name: str) -> Iterator[RawRow]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                columns = list(zip(batch.schema.names, batch.columns, strict=True))
                for index in range(batch.num_rows):
                    number += 1
                    where = f"{name} row {number}"
                    try:
                        yield RawRow(where, {column: values[index].as_py() for column, values in columns})
                    except UnicodeDecodeError:
                        yield RawRow(where, None, "a text is not UTF-8")
    except (pyarrow.ArrowException, OSError) as problem:
        raise UserError(f"{path} is not a readable Parquet file (after row {number}): {problem}") from None


_READERS: dict[str, Callable[[Path, str], Iterator[RawRow]]] = {
    ".jsonl": _jsonl_file,
    ".ndjson": _jsonl_file,
    ".json": _json_file,
    ".csv": _csv_file,
    ".tsv": _csv_file,
    ".parquet": _parquet_file,
}
