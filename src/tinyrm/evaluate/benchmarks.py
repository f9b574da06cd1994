"""The benchmarks known by name, and what a name or a path stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinyrm.errors import UserError, nearest
from tinyrm.types import Preference

from . import preferences, rewardbench
from .arrangement import Arrangement
from .bootstrap import Statistic


@dataclass(frozen=True)
class Benchmark:
    """How a set of labelled pairs is read and scored.

    path, split: anything `tinyrm.data.read_rows` takes, and the split to read of it (None: everything).
    arrange: the rows that belong to it, in subsets.
    statistics: what to compute, from the number of rows by subset; the first is the headline.
    """

    name: str
    path: str
    split: str | None
    arrange: Callable[[Sequence[Preference]], Arrangement]
    statistics: Callable[[Mapping[str, int]], list[Statistic]]


BENCHMARKS = {
    "rewardbench": Benchmark(
        "rewardbench", rewardbench.HUB, rewardbench.SPLIT, rewardbench.arrange, rewardbench.statistics
    ),
}


def find_benchmark(name_or_path: str | Path, data: str | Path | None = None) -> Benchmark:
    """A benchmark by name (read from `data` if given), or any preferences as one: a file, a folder, `-`, a Hub name.

    Raises:
        UserError: it is a plain word, but names no benchmark.
    """
    known = BENCHMARKS.get(str(name_or_path))
    if known is not None:
        return known if data is None else replace(known, path=str(data))
    path = Path(name_or_path)
    if len(path.parts) == 1 and not path.suffix and str(path) != "-" and not path.exists():
        hint = nearest(str(name_or_path), BENCHMARKS)
        raise UserError(f"{str(name_or_path)!r} is neither a benchmark nor a file of preferences{hint}")
    if data is not None:
        raise UserError(f"data goes with the name of a benchmark, but {name_or_path} is a file already")
    return Benchmark(path.name, str(name_or_path), None, preferences.arrange, preferences.statistics)
