"""Judgements of many rows: a list that prints as a table and becomes dicts or a data frame."""

from __future__ import annotations

from typing import Any, SupportsIndex, TypeVar, overload

from ..errors import UserError
from ..types import Ranked, Reward, Verdict

T = TypeVar("T")
SHOWN = 10
"""Rows of a long list that its repr shows."""
WIDTH = 40
"""Characters of a cell that its repr shows."""
CUTS = {Verdict: ("prompt", "a", "b"), Reward: ("prompt", "response"), Ranked: ("prompt", "response")}


class Results(list[T]):
    """A list of `Verdict`, `Reward` or `Ranked`, or (many rankings) of such lists; in the order of the input."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """Each result as a dict; those of many rankings one after another, with `row` to say whose they are."""
        return [label | result.to_dict() for label, result in self._flat()]

    def to_arrow(self) -> Any:
        """A `pyarrow.Table` with a row for each dict, and of `cut` an integer column for each field."""
        import pyarrow

        return pyarrow.Table.from_pylist(self._records())

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, as `to_arrow`.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped, unused-ignore]
        except ModuleNotFoundError:
            raise UserError("a data frame needs pandas, which is not installed: pip install pandas") from None
        return pandas.DataFrame(self._records())

    def _flat(self) -> list[tuple[dict[str, int], Any]]:
        return [
            pair
            for row, item in enumerate(self)
            for pair in ([({"row": row}, one) for one in item] if isinstance(item, Results) else [({}, item)])
        ]

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for label, result in self._flat():
            record = label | result.to_dict()
            del record["cut"]
            records.append(record | {f"cut_{name}": result.cut.get(name, 0) for name in CUTS[type(result)]})
        return records

    @overload
    def __getitem__(self, place: SupportsIndex) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Results[T]: ...

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Results(found) if isinstance(place, slice) else found

    def __repr__(self) -> str:
        rows = self[:SHOWN].to_dicts()[:SHOWN]
        if not rows:
            return f"Results({super().__repr__()})"
        cells = [["", *rows[0]], *([str(i), *map(_cell, row.values())] for i, row in enumerate(rows))]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        more = len(self._flat()) - len(rows)
        return "\n".join([*lines, *([f"... and {more:,} more"] if more else [])])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {count:,}" for name, count in value.items())
    text = "".join(c if c.isprintable() else " " for c in str(value)[: 2 * WIDTH])
    return text[: WIDTH - 1] + "…" if len(text) > WIDTH else text
