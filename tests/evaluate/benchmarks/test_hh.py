import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data import BadRow
from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.hh import HH, HH_ROWS, HHH, HHH_ROWS, read_hhh

odds = st.sampled_from([1.0, 0.0, -1.0])


def credit(value):
    return 0.5 if value == 0 else float(value > 0)


def right_by(ordered, drawn):
    """In favour of the right answer, by row."""
    return ordered(
        lambda prompt, first, second: drawn[int(first.split()[0])][1] * (1 if first.endswith("right") else -1)
    )


def transcripts(i):
    opening = f"\n\nHuman: question {i}\n\nAssistant: "
    return {"chosen": f"{opening}{i} right", "rejected": f"{opening}{i} wrong"}


@given(st.lists(st.tuples(st.sampled_from(sorted(HH_ROWS)), odds), min_size=1, max_size=12))
def test_hh_is_a_share_of_rows(scores_of, ordered, drawn):
    rows = [{**transcripts(i), "subset": subset} for i, (subset, _) in enumerate(drawn)]
    parts = {"Overall": drawn}
    parts["Helpful"] = [row for row in drawn if row[0].startswith("helpful")]
    parts["Harmless"] = [row for row in drawn if row[0].startswith("harmless")]
    expected = {name: sum(credit(it) for _, it in part) / len(part) for name, part in parts.items() if part}
    assert scores_of(HH, rows, right_by(ordered, drawn)) == pytest.approx(expected)


def test_hh_as_it_lies_on_the_hub(ordered, tmp_path):
    """Subsets by folder, the test split alone, and no transcripts of red teams."""
    for i, name in enumerate(HH_ROWS):
        (tmp_path / name).mkdir()
        for split in ("train", "test"):
            with gzip.open(tmp_path / name / f"{split}.jsonl.gz", "wt") as file:
                file.write(json.dumps(transcripts(i)) + "\n")
    (tmp_path / "red-team-attempts").mkdir()
    with gzip.open(tmp_path / "red-team-attempts" / "red_team_attempts.jsonl.gz", "wt") as file:
        file.write(json.dumps({"transcript": "Human: hi", "rating": 1}) + "\n")
    found = evaluate(right_by(ordered, [("", 1.0)] * 4), "hh", data=tmp_path)
    assert {score.name: (score.value, score.n) for score in found.subsets} == dict.fromkeys(HH_ROWS, (1, 1))
    assert found.rows.skipped == ()
    assert {p.subset: p.domain for p in found.judged.preferences}["harmless-base"] == "safety"


@given(st.lists(st.tuples(st.sampled_from(sorted(HHH_ROWS)), odds), min_size=1, max_size=12), st.data())
def test_hhh_in_each_of_its_forms(scores_of, ordered, drawn, data):
    rows = []
    for i, (subset, _) in enumerate(drawn):
        answers = data.draw(st.permutations([(f"{i} right", 1), (f"{i} wrong", 0)]))
        targets = {"choices": [text for text, _ in answers], "labels": [label for _, label in answers]}
        form = data.draw(st.sampled_from(["hub", "big-bench", "pair"]))
        row = {"hub": {"targets": targets}, "big-bench": {"target_scores": dict(answers)}}.get(form)
        if row is None:
            rows.append({"prompt": f"q {i}", "chosen": f"{i} right", "rejected": f"{i} wrong", "subset": subset})
        else:
            rows.append({**row, "input": f"q {i}", "subset": subset})
    expected = {"Overall": sum(credit(it) for _, it in drawn) / len(drawn)}
    for name in HHH_ROWS:
        if part := [credit(it) for subset, it in drawn if subset == name]:
            expected[name.capitalize()] = sum(part) / len(part)
    assert scores_of(HHH, rows, right_by(ordered, drawn)) == pytest.approx(expected)


def test_hhh_as_one_document_of_big_bench(ordered, tmp_path):
    for i, name in enumerate(HHH_ROWS):
        folder = tmp_path / "hhh_alignment" / name
        folder.mkdir(parents=True)
        examples = [{"input": f"q {name}", "target_scores": {f"{i} right": 1, f"{i} wrong": 0}}] * 2
        (folder / "task.json").write_text(json.dumps({"name": name, "examples": examples}), "utf-8")
    found = evaluate(right_by(ordered, [("", 1.0)] * 4), "hhh", data=tmp_path)
    assert {score.name: score.n for score in found.subsets} == dict.fromkeys(HHH_ROWS, 2)


@pytest.mark.parametrize(
    "row",
    [
        {"targets": {"choices": ["a", "b"], "labels": [1, 1]}},
        {"targets": {"choices": ["a"], "labels": [1, 0]}},
        {"targets": {"choices": [["a"], "b"], "labels": [1, 0]}},
        {"targets": {"choices": 3, "labels": None}},
        {"target_scores": {"a": 1}},
        {"examples": [{"target_scores": {}}]},
    ],
)
def test_hhh_without_one_right_and_one_wrong_answer(row):
    with pytest.raises(BadRow):
        read_hhh({"input": "q", **row}, "helpful/task.json:1")


@pytest.mark.parametrize(("benchmark", "row"), [(HH, transcripts(0)), (HHH, {"prompt": "q", **transcripts(0)})])
def test_rows_of_no_subset_are_refused(benchmark, row):
    with pytest.raises(UserError, match="no row tells its subset"):
        benchmark.arrange(benchmark.read(row, "rows.jsonl:1"))
