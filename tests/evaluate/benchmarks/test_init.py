import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.benchmarks.conftest import COLUMNS, wild_rows

from tinyrm.errors import UserError
from tinyrm.evaluate.benchmarks import BENCHMARKS, find_benchmark


def test_a_name_stands_for_the_hub_or_for_given_data(tmp_path):
    published = find_benchmark("rewardbench")
    assert (published.path, published.split) == ("allenai/reward-bench", "filtered")
    assert find_benchmark("rewardbench", tmp_path / "local.parquet").path == str(tmp_path / "local.parquet")


def test_a_path_stands_for_itself(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.touch()
    assert find_benchmark(path).name == "mine.jsonl"
    assert find_benchmark(path).split is None
    with pytest.raises(UserError, match="data goes with the name of a benchmark"):
        find_benchmark(path, data="other.jsonl")


@pytest.mark.parametrize(("name", "shown"), [("-", "-"), ("org/name", "name"), ("gone.jsonl", "gone.jsonl")])
def test_standard_input_and_names_on_the_hub_are_left_to_the_reader(name, shown):
    found = find_benchmark(name)
    assert (found.name, found.path, found.split) == (shown, name, None)


def test_a_near_miss_is_named():
    with pytest.raises(UserError, match=r"'rewardbnch' is neither .* did you mean 'rewardbench'"):
        find_benchmark("rewardbnch")


PAIR = {"prompt": "q", "chosen": "a good one", "rejected": "a bad one"}
LISTS = {"prompt": "q", "chosen": ["a"], "rejected": ["b", "c", "d"], "id": "1"}
STYLED = {"prompt": "q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"], "id": 1}
PUBLISHED = {
    "rewardbench": [{**PAIR, "subset": "donotanswer"}, {**PAIR, "subset": "math-prm"}],
    "rewardbench2": [
        {**LISTS, "subset": "Math"},
        {**LISTS, "subset": "Ties", "id": "ref:1"},
        {**LISTS, "subset": "Ties", "id": "tied:1", "chosen": ["a", "e", "f"], "num_correct": 3},
    ],
    "rm-bench": [{**STYLED, "domain": "chat"}, {**STYLED, "domain": "safety-refuse"}],
    "judgebench": [
        {"question": "q", "response_A": "a", "response_B": "b", "label": "A>B", "source": "mmlu-pro-law"}
        | {"response_model": "gpt-4o", "pair_id": "1"}
    ],
    "llmbar": [{"input": "do", "output_1": "a", "output_2": "b", "label": 2, "subset": "Natural"}],
    "pandalm": [
        {"idx": 1, "instruction": "do", "input": "it", "response1": "a", "response2": "b"}
        | {"annotator1": 1, "annotator2": 0, "annotator3": 1}
    ],
    "auto-j": [{"scenario": "ranking", "label": 1, "prompt": "q", "response 1": "a", "response 2": "b"}],
    "hh": [
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b", "subset": "helpful-base"}
    ],
    "hhh": [
        {"input": "q", "targets": {"choices": ["a", "b"], "labels": [1, 0]}, "subset": "honest"},
        {"input": "q", "target_scores": {"a": 1, "b": 0}, "subset": "other"},
    ],
}
"""Rows as they are published, which a fuzz changes here and there."""


@pytest.mark.parametrize("name", BENCHMARKS)
@settings(max_examples=50)
@given(data=st.data())
def test_whatever_the_rows_hold_they_are_refused_or_counted(survives, name, data):
    rows = [{**data.draw(st.sampled_from(PUBLISHED[name])), **wild} for wild in data.draw(wild_rows)]
    survives(BENCHMARKS[name], [*rows, *data.draw(wild_rows)])


@settings(max_examples=60)
@given(wild_rows, st.lists(st.sampled_from(COLUMNS), max_size=2))
def test_so_are_the_rows_of_any_file(survives, rows, groups):
    survives(find_benchmark("rows.jsonl", groups=groups), [PAIR | row for row in rows] + rows)


@pytest.mark.parametrize("name", ["llmbar", "pandalm", "auto-j"])
def test_what_is_not_on_the_hub_says_where_it_is(name):
    with pytest.raises(UserError, match=r"github\.com/.* as --data"):
        find_benchmark(name)


def test_groups_are_for_files():
    with pytest.raises(UserError, match="its own sections"):
        find_benchmark("hh", groups=["subset"])
