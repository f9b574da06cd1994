"""A judge measured on a benchmark or on any file of preferences."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinyrm.data import load_rows
from tinyrm.errors import UserError

from .arrangement import Arrangement, Missing
from .audits import Audits, audit
from .baselines import BASELINES
from .benchmarks import Benchmark, find_benchmark
from .blind import NAME, blinded
from .bootstrap import Resampled, Score, Statistic, bootstrap
from .judging import Judge, Judged, judge_preferences
from .metrics import Calibration, calibration
from .outcomes import Outcomes
from .paired import Paired, compare

_OF_SUBSET = "share of right rows of the subset"


@dataclass(frozen=True)
class Baseline:
    """Another judge on the same rows, and by how much (paired) the model is above it."""

    name: str
    scores: tuple[Score, ...]
    differences: tuple[Score, ...]


@dataclass(frozen=True)
class Rows:
    """What was judged.

    judged: rows of the benchmark that were judged, by `comparisons` of two responses.
    available: rows before a sample was drawn.
    tied: comparisons labelled ties; unscored: those of them that are in no score.
    called_ties: scored comparisons that the judge called a tie.
    cut: comparisons of which something was removed to fit the model's length.
    skipped: unreadable rows, with reasons.
    """

    judged: int
    available: int
    comparisons: int
    tied: int
    unscored: int
    called_ties: int
    cut: int
    skipped: tuple[str, ...]

    @property
    def sampled(self) -> bool:
        return self.judged < self.available


@dataclass(frozen=True)
class Evaluation:
    """A judge's scores, each with a 95% interval; `scores[0]` is the headline.

    orders_agree: share of the comparisons on which both orders of the pair name the same side.
    blind: the same judge under the prompts of other rows, if it was asked.
    """

    benchmark: str
    path: str
    groups: tuple[str, ...]
    protocol: str | None
    use_domains: bool
    limit: int | None
    seed: int
    rows: Rows
    scores: tuple[Score, ...]
    subset_name: str
    subsets: tuple[Score, ...]
    folded: bool
    baselines: tuple[Baseline, ...]
    blind: Baseline | None
    calibration: Calibration
    orders_agree: float
    audits: Audits
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    seconds: float
    statistics: tuple[Statistic, ...] = field(repr=False)
    judged: Judged = field(repr=False, compare=False)
    outcomes: Outcomes = field(repr=False, compare=False)
    resampled: Resampled = field(repr=False, compare=False)

    def minus(self, other: Evaluation) -> tuple[Score, ...]:
        """This judge's scores minus another's, paired row by row.

        Raises:
            UserError: the two were not measured on the same rows with the same seed.
        """
        if self.judged.preferences != other.judged.preferences or self.seed != other.seed:
            raise UserError("a paired difference needs both judges on the same rows with the same seed")
        return tuple((self.resampled - other.resampled).scores(self.statistics))

    def against(self, outcomes: Outcomes) -> tuple[Paired, ...]:
        """This judge against another one, by statistic: differences, and tests of whether they may be chance.

        Raises:
            UserError: the other was not measured on the same rows.
        """
        if not self.outcomes.alike(outcomes):
            raise UserError("a comparison needs both judges on the same rows: the same benchmark, data, limit and seed")
        return compare(self.outcomes, outcomes, self.statistics, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: everything but the rows themselves."""
        left_out = {"judged", "outcomes", "resampled"}
        return {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in left_out}


def read(benchmark: Benchmark, on_bad_row: Literal["skip", "refuse"] = "skip") -> tuple[Arrangement, tuple[str, ...]]:
    """The comparisons of a benchmark, and the rows that could not be read, with reasons.

    Raises:
        UserError: there is nothing to read, or nothing of it belongs to the benchmark.
    """
    path = str(benchmark.path)
    rows, bad = load_rows(
        path, lambda row, where: benchmark.read(row, f"{path}/{where}"), split=benchmark.split, on_bad_row=on_bad_row
    )
    # The kind of fault alone: what follows the colon quotes the row.
    return benchmark.arrange(rows), tuple(f"{row.where}: {row.reason.partition(':')[0]}" for row in bad)


def evaluate(
    judge: Judge,
    benchmark_or_path: str | Path,
    *,
    data: str | Path | None = None,
    groups: Sequence[str] = (),
    protocol: Literal["single", "pair"] | None = None,
    use_domains: bool = False,
    limit: int | None = None,
    blind: bool = False,
    on_bad_row: Literal["skip", "refuse"] = "skip",
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measures a judge.

    Args:
        benchmark_or_path: a name in `BENCHMARKS`, or a file of preferences.
        data: where the benchmark's rows are, in place of its name on the Hub.
        groups: columns of a file of preferences whose values get a score each.
        use_domains: tell the judge the domain of each row.
        blind: ask about every row a second time, under the prompt of another row.
        progress: called with the comparisons judged so far and those there are.
        limit: judge a random sample of so many rows, drawn from every subset in proportion.
        seed: of the sample, the resamples and the prompts of others.

    Raises:
        UserError: no such benchmark or file, or no row in it can be judged.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit = {limit} must be at least 1")
    benchmark = find_benchmark(benchmark_or_path, data, groups)
    everything, skipped = read(benchmark, on_bad_row)
    arranged = everything if limit is None else everything.sample(limit, seed)
    if all(p.tie for p in arranged.preferences):
        raise UserError(f"{benchmark.path} holds no row to be right or wrong about: all are labelled ties")
    others = blinded(arranged.preferences, seed) if blind else []
    done, total = 0, len(arranged.preferences) + len(others)

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
    against = {name: judge_of(arranged.preferences) for name, judge_of in BASELINES.items()}
    if blind:
        against[NAME] = judge_preferences(judge, others, protocol=protocol, use_domains=use_domains, progress=advance)
    outcomes = benchmark.outcomes(judged, arranged)
    statistics = tuple(benchmark.statistics(outcomes.counts))
    resampled = bootstrap(
        {"model": outcomes.credit}
        | {name: benchmark.outcomes(said, arranged).credit for name, said in against.items()},
        outcomes.subsets,
        outcomes.units,
        seed=seed,
    )
    model = resampled["model"]
    baselines = {
        name: Baseline(name, tuple(other.scores(statistics)), tuple((model - other).scores(statistics)))
        for name, other in resampled.items()
        if name != "model"
    }
    unscored = 0 if arranged.origins else len(arranged.preferences) - len(outcomes.credit)
    return Evaluation(
        benchmark=benchmark.name,
        path=str(benchmark.path),
        groups=tuple(groups),
        protocol=protocol,
        use_domains=use_domains,
        limit=limit,
        seed=seed,
        rows=Rows(
            judged=arranged.rows,
            available=everything.rows,
            comparisons=total - len(others),
            tied=0 if arranged.origins else int((~judged.scored).sum()),
            unscored=unscored,
            called_ties=int((judged.credit == 0.5).sum()),
            cut=int(judged.was_cut.sum()),
            skipped=skipped,
        ),
        scores=tuple(model.scores(statistics)),
        subset_name=arranged.subset_name,
        subsets=tuple(model.scores(_of_subsets(outcomes.counts))),
        folded=arranged.folded,
        baselines=tuple(baselines[name] for name in BASELINES),
        blind=baselines.get(NAME),
        calibration=calibration(judged),
        orders_agree=float(judged.orders_agree.mean()),
        audits=audit(judged, seed),
        missing=arranged.missing,
        notes=arranged.notes,
        seconds=seconds,
        statistics=statistics,
        judged=judged,
        outcomes=outcomes,
        resampled=model,
    )


def _of_subsets(counts: Counter[str]) -> list[Statistic]:
    return [Statistic(subset, {subset: 1.0}, _OF_SUBSET, role="part") for subset in counts]


def plain(value: Any) -> Any:
    """Dataclasses as dicts, and numbers that JSON does not know as None."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
