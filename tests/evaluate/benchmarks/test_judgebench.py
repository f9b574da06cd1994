from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.judgebench import BENCHMARK, CATEGORIES, ROWS, arrange, read

WRITERS = {"gpt-4o": "gpt-4o-2024-05-13", "claude-3.5-sonnet": "claude-3-5-sonnet-20240620"}
said = st.sampled_from(["A>B", "B>A", "A=B"])
judged_rows = st.lists(
    st.tuples(st.sampled_from(sorted(WRITERS)), st.sampled_from(sorted(CATEGORIES)), st.booleans(), said, said),
    min_size=1,
    max_size=12,
)
ODDS = {"A>B": 1.0, "B>A": -1.0, "A=B": 0.0}


def rows_of(drawn, *, flipped=False):
    """Rows as published, of which `flipped` shows A as B."""
    rows = []
    for i, (writer, category, a_is_right, _, _) in enumerate(drawn):
        right, wrong = f"{i} right", f"{i} wrong"
        a_first = a_is_right != flipped
        rows.append(
            {
                "pair_id": f"id-{i}",
                "source": f"{CATEGORIES[category]}-topic",
                "question": f"question {i}",
                "response_model": WRITERS[writer],
                "response_A": right if a_first else wrong,
                "response_B": wrong if a_first else right,
                "label": "A>B" if a_first else "B>A",
            }
        )
    return rows


def judge_of(ordered, drawn):
    """Says of each row, in the two orders of the right and the wrong answer, what was drawn."""

    def odds(prompt, first, second):
        *_, right_first, wrong_first = drawn[int(first.split()[0])]
        return ODDS[right_first] if first.endswith("right") else -ODDS[wrong_first]

    return ordered(odds)


def published(drawn, writer, category=None):
    """compute_final_metrics of the repository, where the decisions are said of (right, wrong)."""
    counters = [
        sum(1 if decision == "A>B" else -1 if decision == "B>A" else 0 for decision in decisions)
        for name, kind, _, *decisions in drawn
        if name == writer and category in (None, kind)
    ]
    return sum(counter > 0 for counter in counters) / len(counters) if counters else None


@given(judged_rows)
def test_the_published_formula(scores_of, ordered, drawn):
    found = scores_of(BENCHMARK, rows_of(drawn), judge_of(ordered, drawn))
    writers = [writer for writer in ROWS if any(name == writer for name, *_ in drawn)]
    expected = {
        ("" if writer == writers[0] else f"{writer}: ") + (category or "Overall"): published(drawn, writer, category)
        for writer in writers
        for category in (None, *CATEGORIES)
    }
    assert found == pytest.approx({name: value for name, value in expected.items() if value is not None})


@given(judged_rows)
def test_which_answer_is_called_a_does_not_matter(scores_of, ordered, drawn):
    judge = judge_of(ordered, drawn)
    assert scores_of(BENCHMARK, rows_of(drawn), judge) == scores_of(BENCHMARK, rows_of(drawn, flipped=True), judge)


def test_a_judge_that_names_what_is_first_has_nothing(scores_of, ordered):
    rows = rows_of([("gpt-4o", "Math", bool(i % 2), None, None) for i in range(6)])
    assert set(scores_of(BENCHMARK, rows, ordered(lambda *pair: 5.0)).values()) == {0}


def test_counts_and_what_is_missing(ordered, parquet):
    drawn = [("claude-3.5-sonnet", "Coding", True, "A>B", "A>B")] * 30
    found = evaluate(judge_of(ordered, drawn), "judgebench", data=parquet(rows_of(drawn)))
    missing = {gap.subset.partition(": ")[2]: gap.expected - gap.found for gap in found.missing}
    assert missing == {"Knowledge": 154, "Reasoning": 51, "Math": 34, "Coding": 1}
    assert found.notes == ("No pairs written by gpt-4o are there",)
    assert found.scores[0].partial
    assert sum(ROWS["gpt-4o"].values()) == 350
    assert sum(ROWS["claude-3.5-sonnet"].values()) == 270


def test_the_writer_is_told_by_the_file_if_not_by_the_row():
    (row,) = rows_of([("gpt-4o", "Knowledge", True, None, None)])
    del row["response_model"]
    where = "dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl line 3"
    (preference,) = read(row, where)
    assert (preference.source, preference.subset, preference.id) == ("claude-3.5-sonnet", "Knowledge", "id-0")


def test_other_rows_are_left_out_or_refused():
    rows = [p for row in rows_of([("gpt-4o", "Math", True, None, None)] * 3) for p in read(row, "x:1")]
    other = {**rows_of([("gpt-4o", "Math", True, None, None)])[0], "source": "mt-bench"}
    arranged = arrange([*rows, *read(other, "x:1")])
    assert Counter(arranged.subsets) == {"gpt-4o: Math": 3}
    assert arranged.notes[0].startswith("1 rows of other sources")
    with pytest.raises(UserError, match="no row is of JudgeBench"):
        arrange(read(other, "x:1"))
