"""Any file of preferences: accuracy over all rows, and by the column that parts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyrm.types import Preference

from .arrangement import Arrangement
from .bootstrap import Statistic

_COLUMNS = ("subset", "domain", "source")
_NONE = "(none)"


def arrange(preferences: Sequence[Preference]) -> Arrangement:
    """Groups the rows by `subset`, or else `domain`, or else `source`: the first that any row has."""
    column = next((name for name in _COLUMNS if any(getattr(p, name) for p in preferences)), _COLUMNS[0])
    return Arrangement(preferences, [getattr(p, column) or _NONE for p in preferences], column)


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    weights = {subset: float(n) for subset, n in rows.items()}
    return [Statistic("Accuracy", weights, "share of right rows; a tie of the judge is half right", over_rows=True)]
