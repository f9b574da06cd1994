"""A file of rows judged into another, however long it is and however often the run is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

from ..data import RawRow, read_rows
from ..errors import UserError
from ..infer import RewardModel
from ..infer.scoring import WINDOW, score_rows
from ..model.checkpoint import Manifest
from ..version import __version__
from .output import Output, to_line


class Judge(Protocol):
    """Whose judgements a run collects: a `RewardModel`, or a cluster of them."""

    manifest: Manifest
    tokens: int

    @property
    def computes(self) -> str:
        """What computes, in which numbers: of another one the last bits may differ."""
        ...


class Judging(Protocol):
    """What turns rows into judged rows, in their order, as `score_rows` does for one model."""

    def __call__(
        self, rows: Iterable[RawRow], *, field: str, on_bad_row: Literal["skip", "refuse"]
    ) -> Iterator[dict[str, Any]]: ...


class Watcher(Protocol):
    """What is told of the progress; `tinyrm.console.Console` is one."""

    def progress(self, label: str, done: int, total: int | None, detail: str = "") -> None: ...

    def notice(self, text: str) -> None: ...


@dataclass
class Scored:
    """What became of the rows.

    rows: all of them, `bad` of which could not be judged, the first for the reason `first_bad`.
    resumed: rows that an earlier, unfinished run had judged.
    broken: where and why files broke off, so that what came after is lost.
    """

    rows: int = 0
    bad: int = 0
    first_bad: str = ""
    resumed: int = 0
    broken: tuple[str, ...] = ()

    def add(self, judgement: dict[str, Any]) -> None:
        self.rows += 1
        if "error" in judgement:
            self.bad += 1
            self.first_bad = self.first_bad or f"{judgement['at']}: {judgement['error']}"

    def end(self, source: str | Path, broken: Sequence[str]) -> None:
        """Raises UserError where nothing could be judged."""
        self.broken = tuple(broken)
        if not self.rows:
            raise UserError(f"{source} holds no rows")
        if self.bad == self.rows:
            raise UserError(f"no row of {source} could be judged; the first is {self.first_bad}")


def score_file(
    model: Judge,
    source: str | Path,
    target: str | Path,
    *,
    field: str = "tinyrm",
    on_bad_row: Literal["skip", "refuse"] = "skip",
    overwrite: bool = False,
    shard_rows: int | None = None,
    watcher: Watcher | None = None,
    judging: Judging | None = None,
) -> Scored:
    """Judges every row of `source` into `target`; memory stays constant.

    Until it is whole, the outcome stands in `target`.partial. A run that was killed leaves that file; the
    same call goes on from its last whole window of rows, and what it finishes is byte for byte what an unbroken run
    writes by as many threads, since the same rows are judged together.

    source: JSONL, CSV or Parquet (.gz), a folder of these, a data set of the Hub, or `-` for JSONL on standard input.
    target: a name that ends in .jsonl, .jsonl.gz or .parquet.
    overwrite: replace a finished or unfinished outcome.
    shard_rows: make `target` a folder of parts with so many rows each.
    judging: how rows are judged; by `model` in this process if None (then it is a `RewardModel`).

    Raises:
        UserError: nothing to read, a target that is taken or being written by another run, an unfinished
            outcome of another model or of other rows, or a disk that is full (what was judged is kept).
    """
    if _same(source, target):
        raise UserError(f"{target} is the input itself: choose another name for the output")
    if Path(source).is_dir() and Path(target).resolve().is_relative_to(Path(source).resolve()):
        raise UserError(f"{target} is inside the input {source}, which is read whole: write it elsewhere")
    broken: list[str] = []
    made_by = {
        "model": model.manifest.name,
        "files": dict(model.manifest.files),
        "field": field,
        "computes": model.computes,
        "version": __version__,
    }
    with Output(Path(target), made_by, overwrite=overwrite, shard_rows=shard_rows) as output:
        total = None if str(source) == "-" else sum(1 for _ in read_rows(source))
        rows = _telling(read_rows(source), broken)
        scored = Scored()
        for judgement in output.skip(rows, field, WINDOW):
            scored.add(judgement)
        scored.resumed = scored.rows
        if scored.resumed and watcher:
            watcher.notice(f"{scored.resumed:,} rows were judged by an earlier run; going on after them")
        started, read = time.monotonic(), model.tokens
        judged = (judging or _here(model))(rows, field=field, on_bad_row=on_bad_row)
        for window in _windows(judged, output.append):
            for row in window:
                scored.add(row[field])
            if watcher and (total is None or total > WINDOW):
                seconds = max(time.monotonic() - started, 1e-9)
                speed = (scored.rows - scored.resumed) / seconds
                detail = f"{speed:,.0f} rows/s, {(model.tokens - read) / seconds:,.0f} tokens/s"
                watcher.progress("judging", scored.rows, total, detail)
        if scored.bad == scored.rows:
            output.discard()
        scored.end(source, broken)
        output.finish()
    return scored


def score_stream(
    model: Judge,
    source: str | Path,
    write: Callable[[str], object],
    *,
    field: str = "tinyrm",
    on_bad_row: Literal["skip", "refuse"] = "skip",
    judging: Judging | None = None,
) -> Scored:
    """Judges every row of `source`, and gives `write` each as a line of JSON.

    Raises:
        UserError: nothing to read, or no row that can be judged.
    """
    broken: list[str] = []
    scored = Scored()
    rows = _telling(read_rows(source), broken)
    for row in (judging or _here(model))(rows, field=field, on_bad_row=on_bad_row):
        write(to_line(row))
        scored.add(row[field])
    scored.end(source, broken)
    return scored


def _here(model: Judge) -> Judging:
    if not isinstance(model, RewardModel):
        raise TypeError(f"a {type(model).__name__} judges no rows by itself: give judging")
    return partial(score_rows, model)


def _windows(
    rows: Iterator[dict[str, Any]], append: Callable[[list[dict[str, Any]]], None]
) -> Iterator[list[dict[str, Any]]]:
    """The rows by windows, each written before it is given on; what came before a fault is written too."""
    while True:
        window: list[dict[str, Any]] = []
        try:
            for row in islice(rows, WINDOW):
                window.append(row)
        finally:
            append(window)
        if not window:
            return
        yield window


def _telling(rows: Iterator[RawRow], broken: list[str]) -> Iterator[RawRow]:
    """The same rows; those at which a file broke off are also told."""
    for row in rows:
        if row.broken:
            broken.append(f"{row.where}: {row.error}")
        yield row


def _same(source: str | Path, target: str | Path) -> bool:
    return Path(source).exists() and Path(target).exists() and Path(source).samefile(target)
