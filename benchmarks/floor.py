"""What a model must stand above on RewardBench: longer wins, shorter wins, a bag of words of the same training pairs.

    python benchmarks/floor.py RECIPE.toml REWARDBENCH.parquet MODEL... [key=value ...]

The bag of words is a logistic regression on what the two responses hold differently (words and pairs of words,
log counts), fitted to the rows that the recipe trains on. Differences are paired, with 95% bootstrap intervals.
`default` among the models is the one in the package. Needs scikit-learn; writes floor.csv.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import SGDClassifier

import tinyrm
from tinyrm.config import load_recipe
from tinyrm.data import load_mixture
from tinyrm.evaluate import evaluate
from tinyrm.model.calibration import sigmoid
from tinyrm.types import Preference, Prompt, Verdict


class BagOfWords:
    """A judge that reads the words of the two responses and nothing else."""

    def __init__(self, rows: Sequence[Preference]) -> None:
        self._counts = CountVectorizer(ngram_range=(1, 2), min_df=3, max_features=200_000, token_pattern=r"\w+|[^\w\s]")
        self._counts.fit([text for row in rows for text in (row.chosen, row.rejected)])
        difference = self._difference([row.chosen for row in rows], [row.rejected for row in rows])
        sides = np.where(np.random.default_rng(0).random(len(rows)) < 0.5, 1, -1)
        self._model = SGDClassifier(loss="log_loss", alpha=1e-4, fit_intercept=False, average=True, random_state=0)
        self._model.fit(difference.multiply(sides[:, None]).tocsr(), sides)

    def _difference(self, first: Sequence[str], second: Sequence[str]) -> Any:
        return self._counts.transform(first).log1p() - self._counts.transform(second).log1p()

    def compare_many(
        self,
        pairs: Sequence[tuple[Prompt, str, str]],
        *,
        domains: Sequence[str | None],
        protocol: str | None,
        progress: Callable[[int], None] | None,
    ) -> list[Verdict]:
        odds = self._model.decision_function(self._difference([a for _, a, _ in pairs], [b for _, _, b in pairs]))
        return [Verdict(sigmoid(x), x, sigmoid(x), sigmoid(x)) for x in odds.tolist()]


def main(recipe_path: str, file: str, *rest: str) -> None:
    recipe = load_recipe(recipe_path, [word for word in rest if "=" in word])
    bag = BagOfWords(load_mixture(recipe.data, recipe.data_seed, print).train)
    floor = evaluate(bag, "rewardbench", data=file)
    header = ["model", "statistic", "accuracy", "above longer wins", "above shorter wins", "above a bag of words"]
    rows = [["bag of words", score.name, shown(score), "", "", ""] for score in floor.scores]
    for name in (word for word in rest if "=" not in word):
        found = evaluate(tinyrm.load(None if name == "default" else name), "rewardbench", data=file)
        lengths = [baseline.differences for baseline in found.baselines]
        for scores in zip(found.scores, *lengths, found.minus(floor), strict=True):
            rows.append([Path(name).name, scores[0].name, *(shown(score) for score in scores)])
    with (Path(__file__).parent / "floor.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    for row in (header, *rows):
        print("".join(f"{cell!s:<24}" for cell in row))


def shown(score: Any) -> str:
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


if __name__ == "__main__":
    main(*sys.argv[1:])
