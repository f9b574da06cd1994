"""Benchmarks scored without files, and beside the publishers' own code."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tinyrm.data import BadRow
from tinyrm.errors import UserError
from tinyrm.evaluate import bootstrap, judge_preferences

_COLUMNS = """prompt, chosen, rejected, subset, id, domain, question, response_A, response_B, label, source,
response_model, pair_id, input, output_1, output_2, instruction, response1, response2, annotator1, annotator2,
annotator3, idx, scenario, num_correct, targets, target_scores, examples, tie, margin, response 1, response 2"""
_WORDS = """Ties, Factuality, ref:1, tied:1, tied:x, chat, math, safety-refuse, mmlu-pro-law, livecodebench, gpt-4o,
claude-3, A>B, B>A, Natural, natural, GPTOut, helpful, harmless-base, other, post_summarization, tie, 1, 2, 0,
[, ["a"]"""
COLUMNS = re.split(r",\s", _COLUMNS)

_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(re.split(r",\s", _WORDS)),
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.text(max_size=3), min_size=1, max_size=4),
        st.dictionaries(st.sampled_from(["choices", "labels", "role", "content", "yes", "no"]), inner, max_size=3),
    ),
    max_leaves=6,
)
wild_rows = st.lists(st.dictionaries(st.sampled_from(COLUMNS), _values, max_size=3), max_size=4)


def measured(benchmark, rows, judge):
    """What `tinyrm.evaluate` does, without a file: the outcomes, and the statistics with their values."""
    read = [found for i, row in enumerate(rows) for found in benchmark.read(row, f"data/rows.json:{i}")]
    arranged = benchmark.arrange(read)
    outcomes = benchmark.outcomes(judge_preferences(judge, arranged.preferences), arranged)
    resampled = bootstrap({"j": outcomes.credit}, outcomes.subsets, outcomes.units, resamples=40)["j"]
    return arranged, outcomes, {score.name: score for score in resampled.scores(benchmark.statistics(outcomes.counts))}


@pytest.fixture(scope="session")
def scores_of():
    """The value of each statistic of a judge on rows as they are published."""

    def scores(benchmark, rows, judge):
        return {name: score.value for name, score in measured(benchmark, rows, judge)[2].items()}

    return scores


@pytest.fixture(scope="session")
def survives(ordered):
    """That whatever rows a benchmark is given, it refuses them or counts each of them once."""

    def check(benchmark, rows):
        good = []
        for row in rows:
            with contextlib.suppress(BadRow):
                good += [row] if list(benchmark.read(row, "folder/rows.jsonl:1")) else []
        if not good:
            return  # `evaluate` refuses it, as below
        try:
            arranged = benchmark.arrange(
                [found for row in good for found in benchmark.read(row, "folder/rows.jsonl:1")]
            )
        except UserError:
            return
        if all(p.tie for p in arranged.preferences):
            return
        judge = ordered(lambda prompt, first, second: float(len(first) - len(second)) + 0.5 * (first < second))
        arranged, outcomes, scores = measured(benchmark, good, judge)
        assert len(good) >= arranged.rows > 0 or "examples" in {name for row in good for name in row}
        assert len(arranged.subsets) == len(arranged.preferences)
        assert len(arranged.origins) in (0, len(arranged.preferences))
        assert scores
        assert all(0 <= score.value <= 1.01 and 0 < score.n <= len(outcomes.credit) for score in scores.values())

    return check


@pytest.fixture(scope="session")
def rewardbench_package(tmp_path_factory):
    """Runs a function body on a value with `rewardbench` of PyPI, which wants an environment of its own."""
    command = shutil.which(os.environ.get("REWARDBENCH", "rewardbench"))
    assert command, "REWARDBENCH names no command: run `make test-peers`"
    python = Path(command).with_name("python")

    def run(body, value):
        code = "import json, sys\nfrom rewardbench.utils import *\nfrom rewardbench.constants import *\n"
        code += f"value = json.load(sys.stdin)\n{body}\nprint(json.dumps(result))\n"
        done = subprocess.run(
            [python, "-c", code], input=json.dumps(value), capture_output=True, text=True, check=True, timeout=300
        )
        return json.loads(done.stdout.splitlines()[-1])

    return run
