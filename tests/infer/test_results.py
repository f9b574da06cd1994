from __future__ import annotations

from tinyrm.infer import Results
from tinyrm.types import Ranked, Reward, Verdict

REWARDS = Results([Reward(1.5, 0.8, {"response": 7}), Reward(-2.0, 0.1)])


def test_results_are_a_list_of_what_they_hold():
    assert [Reward(1.5, 0.8, {"response": 7}), Reward(-2.0, 0.1)] == REWARDS
    assert REWARDS[1] == Reward(-2.0, 0.1)
    assert isinstance(REWARDS[:1], Results)
    assert REWARDS[:1] == [REWARDS[0]]


def test_frames_hold_what_the_dicts_do():
    wanted = [
        {"reward": 1.5, "p": 0.8, "cut_prompt": 0, "cut_response": 7},
        {"reward": -2.0, "p": 0.1, "cut_prompt": 0, "cut_response": 0},
    ]
    assert REWARDS.to_arrow().to_pylist() == wanted
    assert REWARDS.to_pandas().to_dict("records") == wanted
    assert REWARDS.to_dicts() == [reward.to_dict() for reward in REWARDS]


def test_many_rankings_are_one_table_with_their_rows():
    rankings = Results([Results([Ranked(1, 1, "x", 2.0), Ranked(2, 0, "y", 1.0)]), Results([Ranked(1, 0, "z", 0.0)])])
    assert [(row["row"], row["rank"], row["response"]) for row in rankings.to_dicts()] == [
        (0, 1, "x"),
        (0, 2, "y"),
        (1, 1, "z"),
    ]
    assert rankings.to_arrow().column_names[0] == "row"


def test_a_long_list_prints_its_head_in_lines_of_a_terminal():
    shown = repr(Results(Ranked(i, i, "a\nb\x1b[31m" + "c" * 500, 0.0) for i in range(1, 31)))
    assert shown.splitlines()[-1] == "... and 20 more"
    assert len(shown.splitlines()) == 12
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) < 100


def test_empty_results_print():
    assert repr(Results()) == "Results([])"
    assert Results[Verdict]().to_dicts() == []
