import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.blind import blinded


@given(st.lists(st.integers(0, 6), min_size=2, max_size=30), st.integers(0, 5))
def test_no_row_keeps_its_prompt_and_all_else_stays(prefer, names, seed):
    rows = [prefer(f"q {name}", f"good {i}", id=str(i)) for i, name in enumerate(names)]
    if len(set(names)) == 1:
        with pytest.raises(UserError, match="all rows have the same"):
            blinded(rows, seed)
        return
    others = blinded(rows, seed)
    assert all(other.prompt != row.prompt for row, other in zip(rows, others, strict=True))
    assert [dataclasses.replace(o, prompt=r.prompt) for o, r in zip(others, rows, strict=True)] == rows
    moved = {row.prompt: other.prompt for row, other in zip(rows, others, strict=True)}
    assert [moved[row.prompt] for row in rows] == [other.prompt for other in others]  # rows of one prompt stay together
    assert set(moved.values()) == set(moved)
    assert others == blinded(rows, seed)


@pytest.mark.parametrize(("reads", "left"), [("the responses", 1.0), ("the prompt", 0.5)])
def test_what_a_judge_knows_without_the_prompt(rewarded, parquet, reads, left):
    """Rows whose answer is a word of the prompt; one judge looks it up there, the other knows answers."""
    words = [f"w{i}" for i in range(40)]
    rows = [
        {"prompt": f"say {word} or {i}", "chosen": word, "rejected": f"{words[i - 1]}!"} for i, word in enumerate(words)
    ]
    by = {
        "the responses": lambda prompt, text: -float(text.endswith("!")),
        "the prompt": lambda prompt, text: float(text in prompt[0].content.split()),
    }[reads]
    found = evaluate(rewarded(by), parquet(rows), blind=True)
    assert found.scores[0].value == 1
    assert found.blind.scores[0].value == pytest.approx(left, abs=0.1)
    assert found.blind.differences[0].value == pytest.approx(1 - found.blind.scores[0].value)
    assert evaluate(rewarded(by), parquet(rows)).blind is None
