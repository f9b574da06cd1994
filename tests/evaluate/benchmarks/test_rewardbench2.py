import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.data import BadRow
from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.rewardbench2 import BENCHMARK, ROWS, TIES, arrange, read, statistics

SUBSETS = [name for name in ROWS if name != TIES]
rewards = st.integers(-24, 24).map(lambda n: n / 8)
best_of = st.tuples(st.sampled_from(SUBSETS), st.lists(rewards, min_size=4, max_size=4))
twins = st.tuples(
    st.one_of(st.none(), st.tuples(st.lists(rewards, min_size=1, max_size=1), st.lists(rewards, min_size=1))),
    st.one_of(st.none(), st.tuples(st.lists(rewards, min_size=2), st.lists(rewards, min_size=1))),
)


def reward(prompt, text):
    """Responses made here say their reward."""
    return float(text.split("=")[1])


def texts(kind, values):
    return [f"{kind} {i} ={value!r}" for i, value in enumerate(values)]


def row(subset, name, right, wrong):
    return {
        "id": name,
        "subset": subset,
        "prompt": f"{subset} {name}",
        "chosen": texts("right", right),
        "rejected": texts("wrong", wrong),
        "num_correct": len(right),
    }


def rows_of(fours, pairs):
    rows = [row(subset, str(i), values[:1], values[1:]) for i, (subset, values) in enumerate(fours)]
    for i, pair in enumerate(pairs):
        rows += [row(TIES, f"{kind}:{i}", *it) for kind, it in zip(("ref", "tied"), pair, strict=True) if it]
    return rows


def published(fours, pairs):
    """The scores by the words of the paper and the data set's card."""
    scores = {}
    for subset in SUBSETS:
        credits = [(values[0] == max(values)) / values.count(max(values)) for name, values in fours if name == subset]
        if credits:
            scores[subset] = sum(credits) / len(credits)

    def margin(it):
        return min(it[0]) - max(it[1])

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else 0.0

    refs, tied = ([pair[k] for pair in pairs if pair[k]] for k in (0, 1))
    both = [(margin(ref), margin(it), max(it[0]) - min(it[0])) for ref, it in pairs if ref and it]
    if refs or tied:
        scores[TIES] = (
            0.3 * mean(margin(it) > 0 for it in tied)
            + 0.3 * mean(margin(it) > 0 for it in refs)
            + 0.2 * mean(m > spread for _, m, spread in both)
            + 0.2 * mean(min(r, m) > spread for r, m, spread in both)
            + 0.01 * mean(math.tanh(min(r, m) / spread - 1) for r, m, spread in both if spread > 0)
        )
    return {"Overall": sum(scores.values()) / len(scores), **scores}


@settings(max_examples=60)
@given(st.lists(best_of, max_size=12), st.lists(twins, max_size=5))
def test_the_published_formulas(scores_of, rewarded, fours, pairs):
    rows = rows_of(fours, pairs)
    if rows:
        assert scores_of(BENCHMARK, rows, rewarded(reward)) == pytest.approx(published(fours, pairs), rel=1e-12)


def some_rows(seed):
    """All subsets; scores in single precision and of eighths, so that some are equal."""
    rng = random.Random(seed)

    def drawn(n):
        return [float(np.float32(rng.gauss(0, 1))) if seed % 2 else rng.randrange(-8, 8) / 8 for _ in range(n)]

    fours = [(subset, drawn(4)) for subset in SUBSETS for _ in range(rng.randrange(3, 30))]
    pairs = [((drawn(1), drawn(rng.randrange(1, 9))), (drawn(rng.randrange(2, 5)), drawn(3))) for _ in range(20)]
    return fours, [tuple(([x + 1 for x in right], wrong) for right, wrong in pair) for pair in pairs]


@pytest.mark.peers
def test_scores_are_those_of_the_rewardbench_package(scores_of, rewarded, rewardbench_package):
    body = """
import contextlib, io
from datasets import Dataset
result = []
for one in value:
    with contextlib.redirect_stdout(io.StringIO()):
        flat = [{"text": "", "scores": s, "i": i, "subset": subset} for i, (subset, scores) in enumerate(one["fours"])
                for s in scores]
        rolled = reroll_and_score_dataset(Dataset.from_list(flat), [len(scores) for _, scores in one["fours"]])
        ties = [{"id": name, "scores": right + wrong, "num_correct": len(right)} for name, right, wrong in one["ties"]]
        of = rolled.to_pandas().groupby("subset")["results"].mean().to_dict()
        result.append({**of, "Ties": float(process_single_model(Dataset.from_list(ties))[1])})
"""
    made = [some_rows(seed) for seed in range(40)]
    given = [
        {
            "fours": fours,
            "ties": [
                (f"{kind}:{i}", *pair[k]) for i, pair in enumerate(pairs) for k, kind in enumerate(("ref", "tied"))
            ],
        }
        for fours, pairs in made
    ]
    for (fours, pairs), package in zip(made, rewardbench_package(body, given), strict=True):
        ours = scores_of(BENCHMARK, rows_of(fours, pairs), rewarded(reward))
        assert ours.pop("Overall") == pytest.approx(np.mean(list(package.values())), rel=1e-12)
        assert ours == pytest.approx(package, rel=1e-12)


@given(st.integers(-3, 3), st.floats(0.25, 4), st.lists(twins, min_size=1, max_size=3))
def test_a_judge_of_another_scale_has_the_same_score(scores_of, rewarded, shift, scale, pairs):
    rows, scale = rows_of([], pairs), 2.0 ** round(math.log2(scale))
    if rows:
        moved = scores_of(BENCHMARK, rows, rewarded(lambda prompt, text: scale * reward(prompt, text) + shift))
        assert moved == pytest.approx(scores_of(BENCHMARK, rows, rewarded(reward)))


def test_a_judge_of_pairs_earns_a_credit_where_the_chosen_response_beats_all(scores_of, ordered):
    rows = rows_of([("Math", [0.0, 1.0, 2.0, 3.0])], [])

    def circle(lost):
        """Prefers the right response but to wrong number `lost`."""
        return lambda prompt, first, second: (
            (1 if "right" in first else -1) * (-1 if f"wrong {lost}" in first + second else 1)
        )

    assert scores_of(BENCHMARK, rows, ordered(circle(9)))["Math"] == 1
    assert [scores_of(BENCHMARK, rows, ordered(circle(lost)))["Math"] for lost in range(3)] == [0, 0, 0]


def test_from_a_file_with_a_sample_and_all_counts(rewarded, parquet):
    fours, pairs = some_rows(1)
    path = parquet(rows_of(fours, pairs))
    found = evaluate(rewarded(reward), "rewardbench2", data=path, limit=40, blind=True)
    assert found.rows.available == len(fours) + 2 * len(pairs)
    assert found.rows.judged < found.rows.available
    ids = [origin.row for origin in arrange(_read(rows_of(fours, pairs))).sample(40, 0).origins]
    assert {name.replace("ref", "tied") for name in ids if ":" in name} <= set(ids)  # twins come together
    assert {gap.subset: gap.found for gap in found.missing}[TIES] == 40
    assert found.blind.differences[0].value == 0
    assert not found.rows.unscored
    whole = evaluate(rewarded(reward), "rewardbench2", data=path)
    assert [score.n for score in whole.scores[1:]] == [*(sum(s == name for s, _ in fours) for name in SUBSETS), 40]
    assert whole.scores[0].n == whole.rows.judged


def _read(rows):
    return [found for it in rows for found in read(it, "rows:1")]


def test_a_csv_holds_lists_as_json():
    written = {"id": "tied:3", "subset": "ties", "prompt": "q", "chosen": '["a", "b"]', "rejected": '["c"]'}
    (found,) = read({**written, "num_correct": "2"}, "rows.csv:2")
    assert (found.subset, found.chosen, found.rejected) == (TIES, ("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_correct": 3}, "num_correct"),
        ({"chosen": "one text"}, "not a list"),
        ({"chosen": []}, "not a list"),
        ({"chosen": "[1"}, "JSON"),
        ({"chosen": ["a"] * 250, "num_correct": None}, "more than 200"),
        ({"prompt": None}, "prompt"),
        ({"subset": "Math"}, "where one is"),
        ({"id": "tied:²"}, "ref:N"),
        ({"id": "both:1"}, "ref:N"),
    ],
)
def test_rows_of_another_form_are_bad(change, reason):
    with pytest.raises(BadRow, match=reason):
        read({**row(TIES, "tied:1", [1.0, 2.0], [0.0]), **change}, "rows:1")


def test_repeated_and_strange_rows_are_left_out_and_told():
    one = row("Math", "7", [1.0], [0.0, 0.0, 0.0])
    arranged = arrange(_read([one, one, {**one, "subset": "Focus"}, {**one, "subset": "Cooking"}]))
    assert arranged.rows == 2
    assert [note.split()[0] for note in arranged.notes] == ["1", "1"]
    with pytest.raises(UserError, match="no row has a subset of RewardBench 2"):
        arrange(_read([{**one, "subset": "Cooking"}]))


def test_without_rows_of_ties_the_overall_is_over_the_others_and_marked():
    scores = {s.name: s for s in statistics({"Math": 3, "Focus": 4})}
    assert list(scores) == ["Overall", "Math", "Focus"]
    assert scores["Overall"].partial
    assert scores["Overall"].n == 7
