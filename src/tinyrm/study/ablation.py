"""Variants set against their recipe, pair by pair and seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.split import prompt_key
from ..evaluate.bootstrap import RESAMPLES, Resampled, Score, Statistic, bootstrap
from ..evaluate.judging import Floats
from ..types import Preference
from .ablation_runs import RECIPE, Run
from .ingredients import Variant

HELD_OUT = "held out"
ACCURACY = Statistic("accuracy", {HELD_OUT: 1.0}, "share of the held-out pairs judged right")


@dataclass(frozen=True)
class Row:
    """The recipe or one of its variants; figures are means over its finished seeds.

    difference: accuracy minus the recipe's, None for the recipe itself. by_seed: the same for each seed; for the
    recipe, each seed's accuracy minus their mean. seconds: of training, in the fastest run. failed: why some runs,
    or all of them (then there are no figures), came to nothing.
    """

    name: str
    says: str
    overrides: Mapping[str, Any]
    seeds: int = 0
    accuracy: Score | None = None
    difference: Score | None = None
    by_seed: tuple[float, ...] = ()
    log_loss: float | None = None
    seconds: float | None = None
    failed: str | None = None

    @property
    def decided(self) -> bool:
        """Whether the interval of the difference leaves out 0."""
        return self.difference is not None and not self.difference.low <= 0 <= self.difference.high


@dataclass(frozen=True)
class Ablation:
    """The recipe's row, then its variants from the most harmful to the most useful, failed ones last."""

    name: str
    seeds: tuple[int, ...]
    pairs: int
    prompts: int
    rows: tuple[Row, ...]


def compare(
    name: str,
    variants: Sequence[Variant],
    seeds: Sequence[int],
    runs: Mapping[tuple[str, int], Run],
    held_out: Sequence[Preference],
) -> Ablation:
    """Sets variants against the recipe, of which `runs` holds every seed.

    A 95% interval covers both kinds of chance that a study can see. Prompts are drawn anew, the same for all
    runs; and so are seeds, where there are several: a variant and the recipe are paired by seed. Of n seeds
    n - 1 are drawn, which gives the mean over seeds its unbiased variance (Rao and Wu 1988). Three seeds still
    are three: look at the spread beside the interval. With one seed it covers the pairs alone.
    """
    decided = np.array([not preference.tie for preference in held_out], dtype=np.bool_)
    preferences = [preference for preference in held_out if not preference.tie]
    credits = {}
    for key, run in runs.items():
        logits = np.asarray(run.logits, dtype=np.float64)
        if run.failed is None and key[1] in seeds:
            credits[_label(*key)] = (logits[decided] > 0) + 0.5 * (logits[decided] == 0)
    resampled = bootstrap(credits, [HELD_OUT] * len(preferences), [prompt_key(p.prompt) for p in preferences])
    recipe = _row(RECIPE, "the recipe", {}, seeds, runs, resampled)
    others = [
        _row(variant.name, f"{variant.says} instead of {variant.instead_of}", variant.overrides, seeds, runs, resampled)
        for variant in variants
    ]
    others.sort(key=lambda row: row.difference.value if row.difference else np.inf)
    prompts = len({prompt_key(preference.prompt) for preference in preferences})
    return Ablation(name, tuple(seeds), len(preferences), prompts, (recipe, *others))


def _row(
    name: str,
    says: str,
    overrides: Mapping[str, Any],
    seeds: Sequence[int],
    runs: Mapping[tuple[str, int], Run],
    resampled: Mapping[str, Resampled],
) -> Row:
    tried = [runs[name, seed] for seed in seeds]
    finished = [run for run in tried if run.failed is None]
    reasons = " / ".join(dict.fromkeys(run.failed for run in tried if run.failed is not None))
    failed = f"{len(tried) - len(finished)} of {len(tried)} runs failed: {reasons}" if reasons else None
    if not finished:
        return Row(name, says, overrides, failed=failed)
    own = [resampled[_label(name, run.seed)] for run in finished]
    gaps = [part - resampled[_label(RECIPE, run.seed)] for part, run in zip(own, finished, strict=True)]
    accuracy = _mean(own)
    if name == RECIPE:
        difference, by_seed = None, [part.score(ACCURACY).value - accuracy.value for part in own]
    else:
        difference, by_seed = _mean(gaps), [gap.score(ACCURACY).value for gap in gaps]
    return Row(
        name,
        says,
        overrides,
        seeds=len(finished),
        accuracy=accuracy,
        difference=difference,
        by_seed=tuple(by_seed),
        log_loss=sum(run.log_loss for run in finished) / len(finished),
        seconds=min(run.seconds for run in finished),
        failed=failed,
    )


def _mean(by_seed: Sequence[Resampled]) -> Score:
    """The mean over seeds with an interval over prompts and seeds."""
    weights = _seeds_drawn(len(by_seed))
    right: Floats = sum(weights[:, i, None] * part.right for i, part in enumerate(by_seed))  # type: ignore[assignment]
    return replace(by_seed[0], right=right).score(ACCURACY)


def _seeds_drawn(n: int) -> Floats:
    """Weight of each of n seeds in the data (row 0) and in every resample, [1 + RESAMPLES, n]."""
    drawn = np.random.default_rng(0).multinomial(max(n - 1, 1), np.full(n, 1 / n), size=RESAMPLES) / max(n - 1, 1)
    return np.concatenate([np.full((1, n), 1 / n), drawn])


def _label(variant: str, seed: int) -> str:
    return f"{variant} {seed}"
