import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.human import AUTOJ, GROUPS, PANDALM, SCENARIOS, read_pandalm

side = st.sampled_from([1.0, 0.0, -1.0])
autoj_rows = st.lists(
    st.tuples(st.sampled_from([*SCENARIOS, "cooking"]), st.integers(0, 2), side, side), min_size=1, max_size=15
)
pandalm_rows = st.lists(st.tuples(st.integers(0, 2), side), min_size=1, max_size=15)


def judge_of(ordered, odds_of):
    """In favour of response 1, by row: in the order shown and in the other one."""

    def odds(prompt, first, second):
        i, number = map(int, first.split())
        return odds_of[i][0] if number == 1 else -odds_of[i][1]

    return ordered(odds)


def verdict(odds):
    """As the published files write it: 0 the first response, 1 the second, 2 a tie."""
    return 2 if odds == 0 else int(odds < 0)


def autoj_of(drawn):
    return [
        {"scenario": scenario, "label": label, "prompt": f"p {i}", "response 1": f"{i} 1", "response 2": f"{i} 2"}
        for i, (scenario, label, *_) in enumerate(drawn)
    ]


@given(autoj_rows)
def test_auto_j_agrees_where_both_orders_say_the_label(scores_of, ordered, drawn):
    """`correct_both` over `total` in codes/leaderboard/pairwise_eval.py, for all rows and by group of scenarios."""

    def agreement(rows):
        return sum(label == verdict(one) == verdict(other) for _, label, one, other in rows) / len(rows)

    groups = {group: [row for row in drawn if row[0] in names.split()] for group, names in GROUPS.items()}
    expected = {group: agreement(rows) for group, rows in groups.items() if rows}
    found = scores_of(AUTOJ, autoj_of(drawn), judge_of(ordered, [row[2:] for row in drawn]))
    assert found == pytest.approx({"Overall": agreement(drawn), **expected})


def test_auto_j_counts(ordered, tmp_path):
    assert len(SCENARIOS) == 58
    drawn = [(scenario, i % 3, 1.0, 1.0) for scenario in SCENARIOS for i in range(24)] + [("cooking", 0, 1.0, 1.0)]
    path = tmp_path / "testdata_pairwise.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in autoj_of(drawn)), "utf-8")
    found = evaluate(judge_of(ordered, [row[2:] for row in drawn]), "auto-j", data=path)
    assert (found.rows.judged, found.rows.tied, found.rows.unscored) == (1393, 464, 0)
    assert found.missing == ()
    assert found.notes == ("1 rows are of a scenario that belongs to no group",)
    assert found.scores[0].value == 465 / 1393
    assert found.scores[0].n == 1393


def pandalm_of(drawn):
    return [
        {
            "idx": i,
            "instruction": f"do {i}",
            "input": "",
            "response1": f"{i} 1",
            "response2": f"{i} 2",
            "annotator1": label,
            "annotator2": (label + i % 2) % 3,
            "annotator3": label,
        }
        for i, (label, _) in enumerate(drawn)
    ]


@given(pandalm_rows)
def test_pandalm_is_accuracy_of_three_kinds(scores_of, ordered, drawn):
    said = [0 if odds == 0 else 1 if odds > 0 else 2 for _, odds in drawn]
    right = [label == verdict for (label, _), verdict in zip(drawn, said, strict=True)]
    expected = {"Accuracy": sum(right) / len(right)}
    if decided := [hit for hit, (label, _) in zip(right, drawn, strict=True) if label]:
        expected["Without ties"] = sum(decided) / len(decided)
    found = scores_of(PANDALM, pandalm_of(drawn), judge_of(ordered, [(odds, odds) for _, odds in drawn]))
    assert found == pytest.approx(expected)


def test_pandalm_answers_that_json_took_for_values(ordered, tmp_path):
    row = {**pandalm_of([(1, None)])[0], "response1": True, "response2": "True."}
    (preference,) = read_pandalm(row, "x:1")
    assert (preference.chosen, preference.rejected, preference.id) == ("True", "True.", "0")
    path = tmp_path / "testset-v1.json"
    path.write_text(json.dumps(pandalm_of([(i % 3, None) for i in range(9)])), "utf-8")
    found = evaluate(ordered(lambda *pair: 0.0), "pandalm", data=path)
    assert [(gap.subset, gap.expected, gap.found) for gap in found.missing] == [("all", 999, 9)]
    assert {score.name: score.value for score in found.subsets} == {"labelled ties": 1, "decided": 0}
