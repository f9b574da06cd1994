"""A file, folder or data set of comparisons, as a list of preferences and an account of the bad rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tinyrm.errors import UserError
from tinyrm.types import Preference

from .rows import read_rows
from .shapes import to_preferences
from .turns import BadRow
from .winners import Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BadRowAt:
    """Where a bad row stands, and why it is bad."""

    where: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """What a source gave: `rows` counts good and bad ones."""

    path: str
    preferences: list[Preference]
    bad: list[BadRowAt]
    rows: int

    def summary(self) -> str:
        """One sentence with the counts, the most frequent reasons first."""
        said = f"{self.path}: {len(self.preferences):,} preferences of {self.rows:,} rows"
        if not self.bad:
            return said
        counts = Counter(row.reason.partition(":")[0] for row in self.bad).most_common()
        reasons = [f"{reason} ({count:,})" for reason, count in counts[:4]]
        rest = sum(count for _, count in counts[4:])
        more = [f"other reasons ({rest:,})"] if rest else []
        return f"{said}; {len(self.bad):,} bad: {', '.join(reasons + more)}; the first at {self.bad[0].where}"


def load_preferences(
    path: str | Path,
    *,
    split: str | None = None,
    winner: str | None = None,
    soft: str | None = None,
    on_bad_row: Literal["skip", "refuse"] = "skip",
    keep_equal: bool = False,
    notice: Callable[[str], None] | None = None,
) -> Loaded:
    """Reads all preferences at `path` (see `read_rows`); `notice` gets the summary if rows were bad.

    `winner` is the column that names the better response, where rows have several such; `soft` one with a
    probability that the first is better (soft labels). `keep_equal`
    keeps pairs of equal or empty responses too, so that the published number of rows of a benchmark stays.

    Raises:
        UserError: nothing can be read, no row is good, or one is bad and `on_bad_row` is `refuse`.
    """
    rows = 0

    def read(row: Row, _: str) -> list[Preference]:
        nonlocal rows
        found = to_preferences(row, winner=winner, soft=soft, keep_equal=keep_equal)
        rows += 1
        return found

    preferences, bad = load_rows(path, read, split=split, on_bad_row=on_bad_row)
    loaded = Loaded(str(path), preferences, bad, rows + len(bad))
    if bad and notice:
        notice(loaded.summary())
    return loaded


def load_rows(
    path: str | Path,
    read: Callable[[Row, str], Iterable[T]],
    *,
    split: str | None = None,
    on_bad_row: Literal["skip", "refuse"] = "skip",
) -> tuple[list[T], list[BadRowAt]]:
    """What `read` makes of the rows at `path` (see `read_rows`), and the rows of which it makes nothing.

    `read` gets a row and where it stands; it raises `BadRow` where it cannot use it, and gives nothing where the
    row is none of its business.

    Raises:
        UserError: nothing can be read, no row is good, or one is bad and `on_bad_row` is `refuse`.
    """
    good: list[T] = []
    bad: list[BadRowAt] = []
    for row in read_rows(path, split):
        try:
            if row.value is None:
                raise BadRow(row.error)
            good.extend(read(row.value, row.where))
        except BadRow as problem:
            if on_bad_row == "refuse":
                raise UserError(f"bad row at {row.where}: {problem}") from None
            bad.append(BadRowAt(row.where, str(problem)))
    if not good:
        first = "; ".join(f"{row.where}: {row.reason}" for row in bad[:3])
        raise UserError(f"{path} holds no preference: {first or 'it has no rows'}")
    return good, bad
