from __future__ import annotations

import time

import pytest

from tinyrm.serve.routes.judge_prompts import known_layouts, read
from tinyrm.types import Message

SYSTEM = 'Act as a judge. Output your final verdict as "[[A]]" if assistant A is better, "[[B]]" if B is.'
LAYOUTS = {
    "MT-Bench": (
        "[User Question]\n{q}\n\n[The Start of Assistant A's Answer]\n{a}\n[The End of Assistant A's Answer]\n\n"
        "[The Start of Assistant B's Answer]\n{b}\n[The End of Assistant B's Answer]"
    ),
    "Arena-Hard": (
        "<|User Prompt|>\n{q}\n\n<|The Start of Assistant A's Answer|>\n{a}\n<|The End of Assistant A's Answer|>\n\n"
        "<|The Start of Assistant B's Answer|>\n{b}\n<|The End of Assistant B's Answer|>"
    ),
    "Prometheus": (
        "###Task Description:\nAn instruction (might include an Input inside it), two responses to evaluate "
        "(denoted as Response A and Response B), and an evaluation criteria are given.\n\n###Instruction:\n{q}\n\n"
        "###Response A:\n{a}\n\n###Response B:\n{b}\n\n###Reference Answer:\n4\n\n"
        "###Score Rubric:\nQuestion: is it right?\n\n###Feedback: "
    ),
    "plain": "Question: {q}\n\nResponse A: {a}\n\nResponse B: {b}\n\nWhich response is better, A or B?",
    "bare": "Prompt: {q}\nResponse A: {a}\nResponse B: {b}",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_question_and_answers_are_read(name):
    for q, a, b in (("what is 2 + 2?", "4", "I\n\ndon't know."), ("why?", "", "since\n")):
        found = read([Message("system", SYSTEM), Message("user", LAYOUTS[name].format(q=q, a=a, b=b))])
        assert (found.prompt, found.a, found.b) == ((Message("user", q),), a, b.strip())


@pytest.mark.parametrize(
    ("wanted", "answers"),
    [
        ('"[[A]]" if A is better, "[[C]]" for a tie', {"A": "[[A]]", "B": "[[B]]", "C": "[[C]]"}),
        ("[[A>B]] or [[B>A]]", {"A": "[[A>B]]", "B": "[[B>A]]"}),
        ("end with [RESULT] A or B", {"A": "[RESULT] A", "B": "[RESULT] B"}),
        ("one letter", {"A": "A", "B": "B"}),
    ],
)
def test_the_verdict_is_worded_as_asked(wanted, answers):
    found = read([Message("system", wanted), Message("user", LAYOUTS["plain"].format(q="q", a="a", b="b"))])
    for letter, worded in answers.items():
        before, after = found.around(letter)
        assert before + letter + after == worded
    assert found.may_tie == ("C" in answers)


def test_the_last_turn_of_the_user_is_read():
    turns = [
        Message("user", LAYOUTS["plain"].format(q="old", a="1", b="2")),
        Message("assistant", "A"),
        Message("user", LAYOUTS["plain"].format(q="new", a="3", b="4")),
    ]
    assert (read(turns).prompt[0].content, read(turns).a) == ("new", "3")


@pytest.mark.parametrize("text", ["", "hello", "Question: x Response A: y", "Response B: x Response A: y Question: z"])
def test_other_prompts_are_refused(text):
    assert read([Message("user", text)]) is None
    assert read([]) is None


def test_hostile_texts_take_linear_time():
    started = time.perf_counter()
    for mark in ("Question:", "Response A:", "[The Start of Assistant A's Answer]", "###Response A:"):
        read([Message("user", mark * 20_000)])
    assert time.perf_counter() - started < 2


def test_the_layouts_are_named():
    assert known_layouts().startswith("MT-Bench and RewardBench, Arena-Hard, Prometheus")
