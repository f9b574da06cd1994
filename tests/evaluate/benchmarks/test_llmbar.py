import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.llmbar import BENCHMARK, ROWS, arrange, read

side = st.sampled_from([1.0, 0.0, -1.0])
judged_rows = st.lists(
    st.tuples(st.sampled_from(sorted(ROWS)), st.sampled_from([1, 2]), side, side), min_size=1, max_size=15
)


def rows_of(drawn):
    return [
        {
            "subset": subset,
            "input": f"do {i}",
            "label": label,
            "output_1": f"{i} right" if label == 1 else f"{i} wrong",
            "output_2": f"{i} wrong" if label == 1 else f"{i} right",
        }
        for i, (subset, label, _, _) in enumerate(drawn)
    ]


def judge_of(ordered, drawn):
    """In favour of the right output, by what was drawn for the two orders."""

    def odds(prompt, first, second):
        *_, right_first, wrong_first = drawn[int(first.split()[0])]
        return right_first if first.endswith("right") else -wrong_first

    return ordered(odds)


@given(judged_rows)
def test_the_published_formula(scores_of, ordered, drawn):
    """`correct_average` of LLMEvaluator/evaluate.py; the averages are those of the paper's tables."""
    expected = {}
    for name in ROWS:
        orders = [sides for subset, _, *sides in drawn if subset == name]
        if orders:
            plain, swapped = (sum(sides[k] > 0 for sides in orders) for k in (0, 1))
            expected[name] = (plain + swapped) / 2 / len(orders)
    adversarial = [value for name, value in expected.items() if name != "Natural"]
    expected["Average"] = sum(expected.values()) / len(expected)
    if adversarial:
        expected["Adversarial"] = sum(adversarial) / len(adversarial)
    assert scores_of(BENCHMARK, rows_of(drawn), judge_of(ordered, drawn)) == pytest.approx(expected)


def test_a_judge_that_names_what_is_first_is_half_right(scores_of, ordered):
    rows = rows_of([(subset, 1, None, None) for subset in ROWS])
    assert set(scores_of(BENCHMARK, rows, ordered(lambda *pair: 5.0)).values()) == {0.5}


def test_the_folder_of_the_repository(ordered, tmp_path):
    drawn = [("Natural", 1 + i % 2, 1.0, 1.0) for i in range(4)]
    for name in ROWS:
        folder = tmp_path / "LLMBar" / ("Natural" if name == "Natural" else f"Adversarial/{name}")
        folder.mkdir(parents=True)
        rows = [{k: v for k, v in row.items() if k != "subset"} for row in rows_of(drawn)]
        (folder / "dataset.json").write_text(json.dumps(rows), "utf-8")
    found = evaluate(judge_of(ordered, drawn), "llmbar", data=tmp_path / "LLMBar")
    assert {score.name: score.n for score in found.subsets} == dict.fromkeys(ROWS, 4)
    assert {score.value for score in found.scores} == {1}
    assert sum(gap.expected for gap in found.missing) == 419


def test_rows_of_no_subset_are_left_out_or_refused():
    (row,) = rows_of([("Natural", 1, None, None)])
    other = {**row, "subset": "Unnatural"}
    assert len(arrange([*read(row, "x:1"), *read(other, "x:1")]).preferences) == 1
    with pytest.raises(UserError, match="give the folder"):
        arrange(read(other, "x:1"))


@pytest.mark.parametrize("written", ["GPTInst", "llmbar-adver-GPTInst", "adversarial/gptinst"])
def test_a_subset_may_be_written_in_other_ways(written):
    (row,) = rows_of([("GPTInst", 2, None, None)])
    (preference,) = read({**row, "subset": written}, "x:1")
    assert (preference.subset, preference.chosen) == ("GPTInst", "0 right")
