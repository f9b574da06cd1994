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

from tinyrm.errors import UserError

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


def read_rows(path: str | Path, split: str | None = None) -> Iterator[RawRow]:
    """Streams the rows of JSONL, JSON, CSV, TSV (each also as .gz) or Parquet.

    `path` is a file, a folder of such files, `-` for JSONL on standard input, or `org/name` on the Hub.
    `split` leaves out those files of the Hub or of a folder whose paths name another split; None
    reads everything. A bad line becomes a row with an error and reading goes on. Memory stays constant,
    but for a .json document, whose text is held whole.

    Raises:
        UserError: there is nothing at `path`, its format is unknown, or the Parquet is corrupt.
    """
    if str(path) == "-":
        return _jsonl(sys.stdin.buffer, "stdin")
    path = Path(path)
    if path.is_dir():
        return _folder(path, split, f"the folder {path}")
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


def _folder(folder: Path, split: str | None, name: str) -> Iterator[RawRow]:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and _format(path)
        and path.name not in _NOT_ROWS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise UserError(f"{name} holds no file of rows ({', '.join(_READERS)})")
    if split is not None:
        splits = {path: _split_of(path.relative_to(folder)) for path in files}
        files = [path for path in files if splits[path] in (None, _SAME_SPLIT.get(split, split))]
        if not files:
            raise UserError(f"{name} has no split {split!r}; it has {sorted(set(map(str, splits.values())))}")
    return (row for path in files for row in _file(path, path.relative_to(folder).as_posix()))


def _split_of(path: Path) -> str | None:
    """Name of the split that a path of the Hub's layout carries: `data/test-00000-of-00001.parquet` -> `test`."""
    if shard := re.match(r"(.+)-\d{5}-of-\d{5}", path.name):
        return _SAME_SPLIT.get(shard[1], shard[1])
    for part in (re.split(r"[^a-z]", path.name.lower())[0], *path.parts[:-1]):
        if part in _SPLITS:
            return _SAME_SPLIT.get(part, part)
    return None


def _hub(name: str, split: str | None) -> Iterator[RawRow]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files = [f"*{suffix}{zipped}" for suffix in _READERS for zipped in ("", ".gz")]  # `*` crosses folders here
    try:
        snapshot = snapshot_download(name, repo_type="dataset", allow_patterns=files)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as problem:
        reason = (str(problem).splitlines() or ["no answer"])[0]
        raise UserError(f"no file at {name}, and the Hub does not give a data set of that name: {reason}") from None
    return _folder(Path(snapshot), split, f"the data set {name}")


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
        return RawRow(where, None, f"not JSON: {json_fault(problem)}")
    return _row(value, where, "\\u" in text)


def json_fault(problem: Exception) -> str:
    """What is wrong with a line of JSON, and where in it; its `line 1` would contradict the file's line."""
    if isinstance(problem, json.JSONDecodeError) and problem.lineno == 1:
        return f"{problem.msg.removesuffix(' at')} at column {problem.colno}"
    return str(problem)


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


def _delimiter(path: Path) -> str:
    """What parts the columns of the header: spreadsheets of many countries write semicolons."""
    try:
        header = next(_lines(path), b"")
    except _Broken:
        return ","
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is UTF-16: save it as UTF-8")
    return max("\t" if _format(path) == ".tsv" else ",;\t", key=header.decode("utf-8", "replace").count)


def _csv_file(path: Path, name: str) -> Iterator[RawRow]:
    # The limit is the process's; long conversations exceed its 128 kB. Raised, never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = (line.decode("utf-8", "replace").replace("\0", "\ufffd").removeprefix("\ufeff") for line in _lines(path))
    header: list[str] | None = None
    number = 0
    try:
        # Strict, since else a quote that is never closed would make one field of all that follows.
        for fields in _records(csv.reader(lines, delimiter=_delimiter(path), strict=True)):
            if header is None:
                if isinstance(fields, str):
                    raise _Broken(f"the header is {fields}")
                header = fields or None
            elif fields:
                number += 1
                yield _record(fields, header, f"{name} row {number}")
    except _Broken as broken:
        yield RawRow(f"{name} row {number + 1}", None, str(broken), broken=True)


def _records(reader: Any) -> Iterator[list[str] | str]:
    """The fields of each record, or what is wrong with it; raises _Broken where a quote is never closed."""
    while True:
        start = reader.line_num + 1
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            if str(problem) == "unexpected end of data":
                raise _Broken(f"the row at line {start} opens a quote that nothing closes; the rest is lost") from None
            lines = f"line {start}" if reader.line_num == start else f"lines {start} to {reader.line_num}"
            yield f"not CSV: {problem} ({lines})"


def _record(fields: list[str] | str, header: list[str], where: str) -> RawRow:
    if isinstance(fields, str):
        return RawRow(where, None, fields)
    if len(fields) > len(header):
        return RawRow(where, None, f"{len(fields)} fields, but the header has {len(header)}")
    return RawRow(where, dict(zip(header, fields, strict=False)))


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
