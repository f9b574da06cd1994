"""Any file of preferences: accuracy over all rows, and by the columns that part them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyrm.data.winners import has
from tinyrm.errors import UserError
from tinyrm.types import Preference

from ..arrangement import Arrangement
from ..bootstrap import Statistic
from .benchmark import Benchmark, Row, read_pair

_COLUMNS = ("subset", "domain", "source")
_NONE = "(none)"
MOST = 200
"""Groups with a score each: more are no kinds of rows, and each costs memory."""
_BETWEEN = " | "
_ACCURACY = "share of right rows; a tie of the judge is half right"


def of_file(name: str, path: str, groups: Sequence[str] = ()) -> Benchmark:
    """A file as a benchmark: `groups` are columns whose values get a score each."""
    groups = tuple(dict.fromkeys(groups))
    if not groups:
        return Benchmark(name, path, None, arrange, statistics)
    title = _BETWEEN.join(groups)

    def read(row: Row, where: str) -> list[tuple[Preference, tuple[str, ...]]]:
        named = {str(column).strip().lower(): value for column, value in row.items()}
        values = (named[c] if has(named, c := column.strip().lower()) else _NONE for column in groups)
        labels = tuple(str(value).replace(_BETWEEN, " / ") for value in values)
        return [(preference, labels) for preference in read_pair(row, where)]

    def arrange_by(rows: Sequence[tuple[Preference, tuple[str, ...]]]) -> Arrangement:
        for place, column in enumerate(groups):
            values = {labels[place] for _, labels in rows}
            if values == {_NONE}:
                raise UserError(f"no row of {path} has anything in a column {column!r} to group by")
        if (kinds := len({labels for _, labels in rows})) > MOST:
            raise UserError(f"{title} has {kinds:,} different values in {path}: at most {MOST} get a score each")
        return Arrangement([p for p, _ in rows], [_BETWEEN.join(labels) for _, labels in rows], title)

    def statistics_by(rows: Mapping[str, int]) -> list[Statistic]:
        scores = statistics(rows)
        for place, column in enumerate(groups):
            values: dict[str, dict[str, float]] = {}
            for subset, n in rows.items():
                values.setdefault(subset.split(_BETWEEN)[place], {})[subset] = float(n)
            scores += [
                Statistic(f"{column} = {value}", weights, _ACCURACY, over_rows=True)
                for value, weights in sorted(values.items())
            ]
        return scores

    return Benchmark(name, path, None, arrange_by, statistics_by, read)


def arrange(preferences: Sequence[Preference]) -> Arrangement:
    """Groups the rows by `subset`, or else `domain`, or else `source`: the first that parts them into 2 to `MOST`."""
    column = next((name for name in _COLUMNS if 1 < len({getattr(p, name) for p in preferences}) <= MOST), _COLUMNS[0])
    subsets = [getattr(p, column) or _NONE for p in preferences]
    if len(set(subsets)) > MOST:
        column, subsets = "", [_NONE] * len(preferences)
    return Arrangement(preferences, subsets, column)


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    weights = {subset: float(n) for subset, n in rows.items()}
    return [Statistic("Accuracy", weights, _ACCURACY, over_rows=True, role="overall")]
