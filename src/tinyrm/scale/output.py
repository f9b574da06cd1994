"""The outcome of a long run: rows in a file of their own name only when all of them are there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from ..data import RawRow
from ..errors import UserError
from .formats import suffix_of, write_as


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuses what cannot be written.

    Raises:
        UserError: the target is no name of rows, has no folder, or is taken.
    """
    if not suffix_of(target.name):
        raise UserError(
            "the output is JSONL or Parquet: give -o a name that ends in .jsonl, .jsonl.gz or .parquet, "
            f"not {str(target)!r}"
        )
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} to write {target.name} into")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists: choose another name or --overwrite it")
    if target.is_dir() and not all(part.match("part-*") for part in target.iterdir()):
        raise UserError(f"{target} is a folder of other things than parts of an outcome: choose another name")


class Output:
    """JSON lines that grow in `target`.partial until `finish` gives them their name.

    Use as a context: it holds a lock, so that two runs cannot write one target.
    `target`.partial.about says what made the lines; no suffix of rows, lest a folder's reader takes it for some.
    """

    def __init__(
        self, target: Path, made_by: dict[str, Any], *, overwrite: bool = False, shard_rows: int | None = None
    ) -> None:
        check_target(target, overwrite=overwrite)
        self.target = target
        self.partial = target.with_name(target.name + ".partial")
        self._about = target.with_name(target.name + ".partial.about")
        self._made_by = made_by
        self._overwrite, self._shard_rows = overwrite, shard_rows
        self._lock = FileLock(target.with_name(target.name + ".lock"))

    def __enter__(self) -> Output:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another run is writing {self.target}: wait for it, or choose another name") from None
        except OSError as problem:
            raise UserError(f"{self.target} cannot be written: {problem.strerror}") from None
        try:
            self._open()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, at: TracebackType | None
    ) -> None:
        empty = os.fstat(self._file.fileno()).st_size == 0  # where the file stands says nothing before it was read
        with contextlib.suppress(OSError):  # a full disk has been told of already
            self._file.close()
        if empty:
            self.discard()
        self._release()

    def discard(self) -> None:
        """Forgets what was written."""
        self.partial.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def _open(self) -> None:
        check_target(self.target, overwrite=self._overwrite)  # again: another run may just have finished it
        if self._overwrite:
            self.partial.unlink(missing_ok=True)
        elif self.partial.exists() and self._begun_by() != self._made_by:
            raise UserError(
                f"{self.partial} was begun with another model, column, back-end or version of TinyRM: "
                "finish that, or --overwrite it"
            )
        with self._told():
            self._about.write_text(json.dumps(self._made_by), "utf-8")
            self._file = self.partial.open("r+b" if self.partial.exists() else "w+b")

    def _begun_by(self) -> Any:
        try:
            return json.loads(self._about.read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def skip(self, rows: Iterator[RawRow], field: str, window: int) -> Iterator[dict[str, Any]]:
        """Takes the rows that are judged already from `rows`, and gives their judgements.

        Of the lines that stand there, whole windows count, so that the rest is judged in the company it would have had.

        Raises:
            UserError: the lines are not of these rows.
        """
        done = sum(1 for line in self._file if line.endswith(b"\n"))
        done -= done % window
        self._file.seek(0)
        for number in range(done):
            line = self._file.readline()
            row = next(rows, None)
            try:
                written = json.loads(line)
                judgement = written.pop(field)
            except (ValueError, KeyError, AttributeError):
                written = judgement = None
            if row is None or judgement is None or written != json.loads(to_line(_without(row.value or {}, field))):
                where = row.where if row else "the end of the input"
                raise UserError(
                    f"line {number + 1} of {self.partial} is not of {where}: the input has changed since that run; "
                    "--overwrite to judge all of it anew"
                )
            yield judgement
        self._file.truncate()

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Writes rows in one piece.

        Raises:
            UserError: the disk is full, or the file cannot be written.
        """
        with self._told():
            self._file.write("".join(map(to_line, rows)).encode("utf-8"))
            self._file.flush()

    def finish(self) -> None:
        """The lines under the target's name, in its format."""
        with self._told():
            os.fsync(self._file.fileno())
            made, suffix = self.partial, suffix_of(self.target.name)
            if self._shard_rows or suffix not in (".jsonl", ".ndjson"):
                made = self.target.with_name(self.target.name + ".tmp")
                _remove(made)  # of a run that was killed here
                try:
                    write_as(self.partial, made, suffix, self._shard_rows)
                except BaseException:
                    _remove(made)
                    raise
            if self.target.is_dir() or made.is_dir():
                _remove(self.target)
            made.replace(self.target)
            self._about.unlink(missing_ok=True)
            if made != self.partial:
                self.partial.unlink()

    def _release(self) -> None:
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            again = "leave out --overwrite and move the old output away" if self._overwrite else "give the same command"
            raise UserError(
                f"{self.target} cannot be written: {problem.strerror}; what was judged so far stands in "
                f"{self.partial}: {again} to go on from there"
            ) from None


def _remove(made: Path) -> None:
    """Removes a file, or a folder of parts."""
    if made.is_dir():
        shutil.rmtree(made)
    else:
        made.unlink(missing_ok=True)


def _without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != field}


def to_line(row: dict[str, Any]) -> str:
    """One line of strict JSON: NaN and infinity, which data frames hold and JSON does not know, become null."""
    try:
        return json.dumps(row, ensure_ascii=False, default=str, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False, default=str) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
