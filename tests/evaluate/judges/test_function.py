"""Functions of the user: found in the working directory, called with lists, and checked in what they give."""

from __future__ import annotations

import sys
import uuid

import numpy as np
import pytest

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import Message, to_prompt

LONGER = """
def longer(prompts, responses):
    assert all(turn.keys() == {"role", "content"} for prompt in prompts for turn in prompt)
    return [len(text) - len(prompt[-1]["content"]) for prompt, text in zip(prompts, responses, strict=True)]

def arrays(prompts, responses):
    import numpy as np
    return np.array([len(text) for text in responses], dtype=np.float32)

class Judges:
    @staticmethod
    def first(prompts, first, second):
        return [0.9] * len(first)

    @staticmethod
    def sure(prompts, first, second):
        return (float(len(a) > len(b)) for a, b in zip(first, second))

def short(prompts, responses): return [1.0]
def nothing(prompts, responses): return None
def texts(prompts, responses): return ["good"] * len(responses)
def some(prompts, responses): return [None] * len(responses)
def fails(prompts, responses): return 1 / 0
def beyond(prompts, first, second): return [1.5] * len(first)
async def later(prompts, responses): return [1.0] * len(responses)
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module(source)`: the name of a module in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(source=LONGER):
        name = f"judge_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(source, "utf-8")
        return name

    return write


def test_rewards_of_a_function(module):
    judge = load_judge(f"{module()}:longer")
    many = [(to_prompt("q"), "x" * i, "y" * 70) for i in range(150)]  # more than one batch
    verdicts = judge.compare_many([*many, ((Message("system", "s"), Message("user", "u")), "aa", "a")])
    assert [verdict.logit for verdict in verdicts] == [*(i - 70 for i in range(150)), 1]
    assert judge.about["kind"] == "function"
    assert len(judge.about["sha256"]) == 64


def test_arrays_are_rewards_too(module):
    (verdict,) = load_judge(f"{module()}:arrays").compare_many([(to_prompt("q"), "aaa", "b")])
    assert verdict.logit == 2


def test_a_pairwise_function_is_asked_in_both_orders(module):
    name = module()
    (verdict,) = load_judge(f"pairwise:{name}:Judges.first").compare_many([(to_prompt("q"), "a", "b")])
    assert verdict.p_a == 0.5
    assert verdict.p_a_shown_first == pytest.approx(0.9)
    assert verdict.p_a_shown_second == pytest.approx(0.1)
    assert not verdict.agree or verdict.logit == 0
    (verdict,) = load_judge(f"pairwise:{name}:Judges.sure").compare_many([(to_prompt("q"), "aaa", "b")])
    assert verdict.p_a == verdict.p_a_shown_first == verdict.p_a_shown_second == 1.0
    assert np.isfinite(verdict.logit)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("short", "gave numbers of shape (1,) for 2 rows"),
        ("nothing", "gave NoneType where a list of 2 numbers was expected"),
        ("texts", "gave list where a list of 2 numbers"),
        ("some", "gave NaN or None"),
        ("fails", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_function_gives_is_checked(module, function, said):
    judge = load_judge(f"{module()}:{function}")
    with pytest.raises(UserError) as error:
        judge.compare_many([(to_prompt("q"), "a", "b")])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_probabilities_are_checked(module):
    with pytest.raises(UserError, match="not between 0 and 1"):
        load_judge(f"pairwise:{module()}:beyond").compare_many([(to_prompt("q"), "a", "b")])


def test_functions_that_are_not_there(module):
    name = module()
    for function in ("none", "Judges.none"):
        with pytest.raises(UserError, match=f"has no '{function}'"):
            load_judge(f"{name}:{function}")
    for function in ("number", "later"):
        with pytest.raises(UserError, match="is no plain function"):
            load_judge(f"{name}:{function}")
    with pytest.raises(UserError, match="no module 'nowhere' is installed, or lies in"):
        load_judge("nowhere:function")
    with pytest.raises(UserError, match="it needs not_installed"):
        load_judge(f"{module('import not_installed.part')}:function")
    with pytest.raises(UserError, match=r"cannot be imported: ValueError: no \(judge_\w+.py, line 1\)"):
        load_judge(f"{module('raise ValueError(chr(110) + chr(111))')}:function")
    with pytest.raises(UserError, match="cannot be imported: SyntaxError"):
        load_judge(f"{module('def (')}:function")
