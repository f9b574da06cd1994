"""Judges whose verdicts are known, and files of rows for them."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinyrm.evaluate.benchmarks.rewardbench import ROWS
from tinyrm.evaluate.judges.base import PairJudge, Scored, ScoringJudge
from tinyrm.types import Preference, Verdict, to_prompt


class JudgeBy:
    """Judges by a function (prompt, a, b) -> p_a, and remembers what it was asked."""

    def __init__(self, p_a, agree=True, cut=()):
        self.p_a, self.agree, self.cut = p_a, agree, dict(cut)
        self.asked, self.domains = [], []

    def compare_many(self, pairs, *, domains, protocol, progress):
        self.asked, self.domains = list(pairs), list(domains)
        verdicts = []
        for pair in pairs:
            p = self.p_a(*pair)
            second = p if self.agree else 1 - p
            verdicts.append(Verdict(p, math.log(p / (1 - p)), p, second, self.cut))
            if progress:
                progress(1)
        return verdicts


@pytest.fixture(scope="session")
def judge_by():
    return JudgeBy


@pytest.fixture(scope="session")
def truth():
    """Knows the answer: rows made here say "good" in the chosen response."""
    return JudgeBy(lambda prompt, a, b: 0.9 if "good" in a else 0.1)


@pytest.fixture(scope="session")
def always_a():
    return JudgeBy(lambda prompt, a, b: 0.8)


@pytest.fixture(scope="session")
def undecided():
    return JudgeBy(lambda prompt, a, b: 0.5)


def row(i, subset, prompt=None):
    return {
        "id": f"{subset}/{i}",
        "subset": subset,
        "prompt": prompt or f"question {i} of {subset}",
        "chosen": f"a good answer {i}",
        "rejected": f"a poor answer {i}",
        "chosen_model": "x",
        "rejected_model": "y",
    }


@pytest.fixture(scope="session")
def rewardbench_rows():
    """Two rows of every subset, in the columns of RewardBench on the Hub."""
    return [row(i, subset) for subset in ROWS for i in range(2)]


@pytest.fixture
def parquet(tmp_path):
    def write(rows, name="rows.parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def prefer():
    """A preference from plain strings."""

    def make(prompt="q", chosen="good", rejected="poor", **fields):
        return Preference(to_prompt(prompt), chosen, rejected, **fields)

    return make


class Rewarded(ScoringJudge):
    """Gives each response alone the reward that a function of (prompt, response) says."""

    def __init__(self, reward):
        super().__init__({"name": "rewarded", "kind": "made up"})
        self.reward = reward

    def score_many(self, responses, progress):
        progress(len(responses))
        return [Scored(self.reward(*response)) for response in responses]


class Ordered(PairJudge):
    """Says by a function of (prompt, shown first, shown second) how likely the first is better, in log-odds."""

    def __init__(self, odds):
        super().__init__({"name": "ordered", "kind": "made up"})
        self.odds = odds

    def first_wins(self, pairs, progress):
        progress(len(pairs))
        return [self.odds(*pair) for pair in pairs]


@pytest.fixture(scope="session")
def rewarded():
    return Rewarded


@pytest.fixture(scope="session")
def ordered():
    return Ordered
