"""Specs: what they name, and what is said of those that name nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import tinyrm
from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.judges import KINDS, load_judge
from tinyrm.evaluate.judges.chat import INSTRUCTION
from tinyrm.types import to_prompt

PAGE = (Path(__file__).parents[3] / "docs" / "judges.md").read_text("utf-8")


def test_nothing_is_the_default_model():
    judge = load_judge()
    assert (judge.about["name"], judge.about["kind"]) == ("tinyrm-mini", "tinyrm")
    assert load_judge("tinyrm-mini").about == judge.about


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("http://localhost:80/x", "needs the shape of its answers before it, as in openrlhf:http://localhost:80/x"),
        ("vlm-score:http://localhost", "did you mean 'vllm-score'?"),
        ("hf:", "no judge is named 'hf:'"),
        ("pairwise:module", "pairwise:module names no function"),
        ("openrlhf:localhost:80", "no address of a server"),
        ("openai:gpt@http:///v1", "no address of a server"),
        ("nowhere/at/all", "nowhere/at/all"),
    ],
)
def test_mistakes(spec, said):
    with pytest.raises(UserError) as error:
        load_judge(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_every_kind_is_documented():
    for kind in KINDS:
        assert f"{kind}:" in load_judge.__doc__
        assert f"`{kind}:" in PAGE


def test_the_page_shows_what_a_chat_model_is_told():
    assert INSTRUCTION in " ".join(PAGE.replace("\n> ", " ").split())


def test_the_functions_of_the_page_work(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "mine_of_the_page.py").write_text(example, "utf-8")
    rows = [(to_prompt("q"), "a", "a longer one")]
    assert load_judge("mine_of_the_page:score").compare_many(rows)[0].better == "B"
    assert load_judge("pairwise:mine_of_the_page:compare").compare_many(rows)[0].p_a == pytest.approx(0.9)


def test_a_loaded_judge_is_measured_as_its_model(checkpoint_folder, pairs_file):
    folder = checkpoint_folder("bert")
    by_model = evaluate(tinyrm.load(folder), pairs_file(12), protocol="pair").to_dict()
    by_judge = evaluate(load_judge(folder), pairs_file(12), protocol="pair").to_dict()
    for found in (by_model, by_judge):
        found.pop("seconds")
    assert by_model == by_judge
