"""A judge measured on a benchmark or on any file of preferences."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinyrm.data import load_preferences
from tinyrm.errors import UserError

from .arrangement import Arrangement, Missing
from .baselines import BASELINES
from .benchmarks import Benchmark, find_benchmark
from .bootstrap import Resampled, Score, Statistic, bootstrap
from .judging import Judge, Judged, judge_preferences
from .metrics import Calibration, calibration

_OF_SUBSET = "share of right rows of the subset"


@dataclass(frozen=True)
class Baseline:
    """A judge by length alone on the same rows, and by how much (paired) the model is above it."""

    name: str
    scores: tuple[Score, ...]
    differences: tuple[Score, ...]


@dataclass(frozen=True)
class Rows:
    """What was judged.

    judged: rows put to the judge, of which `tied` are labelled ties (judged, but neither right nor wrong);
    available: rows before a sample was drawn; called_ties: rows that the judge called a tie (half right);
    cut: rows of which something was removed to fit the model's length; skipped: unreadable rows, with reasons.
    """

    judged: int
    available: int
    tied: int
    called_ties: int
    cut: int
    skipped: tuple[str, ...]

    @property
    def sampled(self) -> bool:
        return self.judged < self.available


@dataclass(frozen=True)
class Evaluation:
    """A judge's scores, each with a 95% interval; `scores[0]` is the headline.

    orders_agree: share of the rows on which both orders of the pair name the same side.
    """

    benchmark: str
    path: str
    protocol: str | None
    use_domains: bool
    seed: int
    rows: Rows
    scores: tuple[Score, ...]
    subset_name: str
    subsets: tuple[Score, ...]
    baselines: tuple[Baseline, ...]
    calibration: Calibration
    orders_agree: float
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    seconds: float
    judged: Judged = field(repr=False, compare=False)
    statistics: tuple[Statistic, ...] = field(repr=False, compare=False)
    resampled: Resampled = field(repr=False, compare=False)

    def minus(self, other: Evaluation) -> tuple[Score, ...]:
        """This judge's scores minus another's, paired row by row.

        Raises:
            UserError: the two were not measured on the same rows with the same seed.
        """
        if self.judged.preferences != other.judged.preferences or self.seed != other.seed:
            raise UserError("a paired difference needs both judges on the same rows with the same seed")
        return tuple((self.resampled - other.resampled).scores(self.statistics))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: everything but the rows themselves."""
        left_out = {"judged", "statistics", "resampled"}
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in left_out}


def evaluate(
    judge: Judge,
    benchmark_or_path: str | Path,
    *,
    data: str | Path | None = None,
    protocol: Literal["single", "pair"] | None = None,
    use_domains: bool = False,
    limit: int | None = None,
    on_bad_row: Literal["skip", "refuse"] = "skip",
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measures a judge.

    Args:
        benchmark_or_path: a name in `BENCHMARKS`, or a file of preferences.
        data: where the benchmark's rows are, in place of its name on the Hub.
        use_domains: tell the judge the domain of each row.
        progress: called with the rows judged so far and those there are.
        limit: judge a random sample of so many rows, drawn from every subset in proportion.
        seed: of the sample and of the resamples.

    Raises:
        UserError: no such benchmark or file, or no row in it can be judged.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit = {limit} must be at least 1")
    benchmark = find_benchmark(benchmark_or_path, data)
    loaded = load_preferences(benchmark.path, split=benchmark.split, on_bad_row=on_bad_row, keep_equal=True)
    everything = benchmark.arrange(loaded.preferences)
    arranged = everything if limit is None else everything.sample(limit, seed)
    if all(p.tie for p in arranged.preferences):
        raise UserError(f"{benchmark.path} holds no row to be right or wrong about: {loaded.summary()}")
    done, total = 0, len(arranged.preferences)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    start = time.perf_counter()
    judged = judge_preferences(
        judge, arranged.preferences, protocol=protocol, use_domains=use_domains, progress=advance
    )
    seconds = time.perf_counter() - start
    rows = Rows(
        judged=len(judged.preferences),
        available=len(everything.preferences),
        tied=int((~judged.scored).sum()),
        called_ties=int((judged.credit == 0.5).sum()),
        cut=int(judged.was_cut.sum()),
        skipped=tuple(f"{bad.where}: {bad.reason}" for bad in loaded.bad),
    )
    return _measure(judged, arranged, benchmark, rows, protocol, use_domains, seed, seconds)


def _measure(
    judged: Judged,
    arranged: Arrangement,
    benchmark: Benchmark,
    rows: Rows,
    protocol: str | None,
    use_domains: bool,
    seed: int,
    seconds: float,
) -> Evaluation:
    scored = [int(i) for i in np.flatnonzero(judged.scored)]
    preferences = [judged.preferences[i] for i in scored]
    subsets = [arranged.subsets[i] for i in scored]
    counts = Counter(subsets)
    statistics = tuple(benchmark.statistics(counts))
    credits = {"model": judged.credit[scored]} | {name: wins(preferences) for name, wins in BASELINES.items()}
    resampled = bootstrap(credits, subsets, preferences, seed=seed)
    model = resampled["model"]
    by_subset = [Statistic(subset, {subset: 1.0}, _OF_SUBSET) for subset in counts]
    return Evaluation(
        benchmark=benchmark.name,
        path=benchmark.path,
        protocol=protocol,
        use_domains=use_domains,
        seed=seed,
        rows=rows,
        scores=tuple(model.scores(statistics)),
        subset_name=arranged.subset_name,
        subsets=tuple(model.scores(by_subset)),
        baselines=tuple(
            Baseline(
                name, tuple(resampled[name].scores(statistics)), tuple((model - resampled[name]).scores(statistics))
            )
            for name in BASELINES
        ),
        calibration=calibration(judged),
        orders_agree=float(judged.orders_agree.mean()),
        missing=arranged.missing,
        notes=arranged.notes,
        seconds=seconds,
        judged=judged,
        statistics=statistics,
        resampled=model,
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
