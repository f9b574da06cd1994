import pytest

from tinyrm.errors import UserError
from tinyrm.evaluate.benchmarks import find_benchmark


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
