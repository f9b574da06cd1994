"""The benchmarks known by name, and what a name or a path stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinyrm.errors import UserError, nearest

from . import hh, human, judgebench, llmbar, rewardbench, rewardbench2, rm_bench
from .benchmark import Benchmark
from .preferences import of_file

__all__ = ["BENCHMARKS", "Benchmark", "find_benchmark"]

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        rewardbench.BENCHMARK,
        rewardbench2.BENCHMARK,
        rm_bench.BENCHMARK,
        judgebench.BENCHMARK,
        llmbar.BENCHMARK,
        human.PANDALM,
        human.AUTOJ,
        hh.HH,
        hh.HHH,
    )
}


def find_benchmark(name_or_path: str | Path, data: str | Path | None = None, groups: Sequence[str] = ()) -> Benchmark:
    """A benchmark by name (read from `data` if given), or any preferences as one: a file, a folder, `-`, a Hub name.

    groups: columns of such a file whose values get a score each.

    Raises:
        UserError: it is a plain word, but names no benchmark; or the benchmark has no rows on the Hub.
    """
    known = BENCHMARKS.get(str(name_or_path))
    if known is not None:
        if groups:
            raise UserError(f"groups are for a file of preferences: {known.name} has its own sections")
        if data is None and known.path is None:
            raise UserError(f"{known.name} is not on the Hub as rows: give {known.source} as --data")
        return known if data is None else replace(known, path=str(data))
    path = Path(name_or_path)
    if len(path.parts) == 1 and not path.suffix and str(path) != "-" and not path.exists():
        hint = nearest(str(name_or_path), BENCHMARKS)
        raise UserError(f"{str(name_or_path)!r} is neither a benchmark nor a file of preferences{hint}")
    if data is not None:
        raise UserError(f"data goes with the name of a benchmark, but {name_or_path} is a file already")
    return of_file(path.name, str(name_or_path), groups)
