"""Prompts that ask a language model which of two answers is better, read back into question and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyrm.types import Message, Prompt


@dataclass(frozen=True)
class Asked:
    """wording: how the prompt wants the letter written; may_tie: whether it names C for equal answers."""

    prompt: Prompt
    a: str
    b: str
    wording: str = "{}"
    may_tie: bool = False

    def around(self, letter: str) -> tuple[str, str]:
        """What stands before and after the letter of the verdict."""
        before, _, after = self.wording.partition("{}")
        return before, after.replace("OTHER", {"A": "B", "B": "A"}.get(letter, letter))


@dataclass(frozen=True)
class _Layout:
    """The marks between which question and answers stand; stop_a closes the first answer, ends may close the last."""

    name: str
    question: str
    a: str
    b: str
    ends: tuple[str, ...] = ()
    stop_a: str = ""


_LAYOUTS = (
    _Layout(
        "MT-Bench and RewardBench",
        "[User Question]",
        "[The Start of Assistant A's Answer]",
        "[The Start of Assistant B's Answer]",
        ("[The End of Assistant B's Answer]",),
        "[The End of Assistant A's Answer]",
    ),
    _Layout(
        "Arena-Hard",
        "<|User Prompt|>",
        "<|The Start of Assistant A's Answer|>",
        "<|The Start of Assistant B's Answer|>",
        ("<|The End of Assistant B's Answer|>",),
        "<|The End of Assistant A's Answer|>",
    ),
    _Layout(
        "Prometheus",
        "###Instruction:",
        "###Response A:",
        "###Response B:",
        ("###Reference Answer:", "###Score Rubric:", "###Feedback:"),
    ),
    _Layout("plain", "Question:", "Response A:", "Response B:", ("Which response is better",)),
    _Layout("plain", "Prompt:", "Response A:", "Response B:", ("Which response is better",)),
)


def read(messages: Sequence[Message]) -> Asked | None:
    """What a judge is asked, from the last turn of the user; None if its layout is not known.

    An answer that holds the marks themselves can move the border between the answers: whoever can write such answers
    should be judged by `/v1/compare`, where the fields are apart.
    """
    text = next((turn.content for turn in reversed(messages) if turn.role == "user"), "")
    for layout in _LAYOUTS:
        if (found := _fields(text, layout)) is not None:
            prompt, a, b = found
            everything = "\n".join(turn.content for turn in messages)
            return Asked((Message("user", prompt),), a, b, _wording(everything), "[[C]]" in everything)
    return None


def known_layouts() -> str:
    return ", ".join(dict.fromkeys(layout.name for layout in _LAYOUTS))


def _fields(text: str, layout: _Layout) -> tuple[str, str, str] | None:
    _, mark, rest = text.partition(layout.question)
    if not mark:
        return None
    question, mark_a, rest = rest.partition(layout.a)
    # The first mark of B after A, the last end of B: an answer is cut short by neither the other's marks nor its own.
    a, mark_b, b = rest.partition(layout.b)
    if not mark_a or not mark_b:
        return None
    if layout.stop_a:
        a = a.rpartition(layout.stop_a)[0] if layout.stop_a in a else a
    ends = [place for end in layout.ends if (place := b.rfind(end)) >= 0]
    return question.strip(), a.strip(), (b[: min(ends)] if ends else b).strip()


def _wording(text: str) -> str:
    if "[[A]]" in text:
        return "[[{}]]"
    if "[[A>B]]" in text:
        return "[[{}>OTHER]]"
    return "[RESULT] {}" if "[RESULT]" in text else "{}"
