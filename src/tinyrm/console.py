"""What a person sees of long work: a bar on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINES = 10
"""Plain lines per piece of work where no terminal shows a bar."""
EVERY = 1000
"""Rows per plain line where the number of rows is not known."""


class Console:
    """Shows notices and progress. Use as a context, so that a bar is taken down whatever happens."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._said: dict[str, int] = {}

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def notice(self, text: str) -> None:
        """One line worth telling."""
        if self._quiet:
            return
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def progress(self, label: str, done: int, total: int | None, detail: str = "") -> None:
        """`done` of `total` of the work named `label`; None if nobody knows how much there is."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            bars = self._bars or self._start()
            if label not in self._tasks:
                self._tasks[label] = bars.add_task(label, total=total, detail="")
            bars.update(self._tasks[label], completed=done, total=total, detail=detail)
            return
        started = self._started.setdefault(label, time.monotonic())
        if total is None:
            if done >= self._said.get(label, 0) + EVERY:
                self._said[label] = done
                self.notice(f"{label}: {done:,}  {detail}  {time.monotonic() - started:.0f} s")
            return
        tenth = done * LINES // max(total, 1)
        if tenth > self._said.get(label, 0):
            self._said[label] = tenth
            seconds = time.monotonic() - started
            left = seconds * (total - done) / max(done, 1)
            self.notice(f"{label}: {done:,} of {total:,}  {detail}  {seconds:.0f} s, {left:.0f} s left")

    def counter(self, label: str, total: int) -> Callable[[int], None]:
        """A callback for work that reports how much was done since its last report."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self.progress(label, done, total)

        return advance

    def _start(self) -> Any:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
        )
        self._bars.start()
        return self._bars
