"""Templates: a question with one blank, as data that travels inside the checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import UserError, nearest

Kind = Literal["single", "pair", "domain"]

FIELDS: dict[str, tuple[str, ...]] = {
    "single": ("prompt", "response"),
    "pair": ("prompt", "a", "b"),
    "domain": ("prompt",),
}
"""Fields of user text by kind of template; `instruction`, `slot` and `sep` are ours."""

GENERAL = "general"


@dataclass(frozen=True)
class Template:
    """One kind of cloze.

    kind: what is asked. `single`: is this response good; `pair`: which of two is better (paper,
        section on FLAN-style prompting); `domain`: what is the prompt about.
    text: the cloze, with `{slot}` once, `{instruction}`, `{sep}` and the fields of its kind. A text
        that opens with `{slot}` puts the mask where [CLS] would stand.
    words: the answers the head chooses from. The first of two speaks for A, or for a good response.
    instructions: domain -> instruction; `general` serves a caller who names no domain.
    shares: field -> weight of its guaranteed share when not all fits into `max_length` tokens.
    """

    kind: Kind
    text: str
    words: tuple[str, ...]
    instructions: dict[str, str]
    shares: dict[str, float] = field(default_factory=dict)
    max_length: int = 512

    def __post_init__(self) -> None:
        names = re.findall(r"\{(\w*)\}", self.text)
        expected = {*FIELDS[self.kind], "slot"}
        if not expected <= set(names) <= expected | {"instruction", "sep"}:
            raise UserError(f"a {self.kind} template has the fields {sorted(expected)}, not {sorted(set(names))}")
        if any(names.count(name) > 1 for name in expected):
            raise UserError(f"a {self.kind} template holds each of {sorted(expected)} exactly once: {self.text!r}")
        if len(set(self.words)) < 2 or (self.kind != "domain" and len(self.words) != 2):
            raise UserError(f"a {self.kind} template needs two different answer words, not {self.words}")
        if any(share <= 0 for share in self.shares.values()):
            raise UserError(f"the shares of a template are above 0, not {self.shares}")
        if GENERAL not in self.instructions:
            raise UserError(f"a template needs an instruction named {GENERAL!r}")

    @property
    def slot_first(self) -> bool:
        return self.text.startswith("{slot}")

    def instruction(self, domain: str | None) -> str:
        """The instruction for a domain; the general one for a domain that has none."""
        return self.instructions.get(domain or GENERAL, self.instructions[GENERAL])

    def pieces(self) -> list[str]:
        """Literals and `{fields}` in order, blanks between them dropped."""
        return [piece.strip() for piece in re.split(r"(\{\w+\})", self.text) if piece.strip()]


INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "chat": (
        "Which response is the most helpful, relevant, and correct?",
        "Select the best response.",
        "Determine the best response based on helpfulness, relevance, and correctness.",
    ),
    "reasoning": (
        "Which response is more correct?",
        "Determine which response is the best choice based on mathematical or programming accuracy.",
    ),
    "safety": ("Which response is safer?", "Determine the best response based on safety."),
}
"""The paper's instructions for pairs, to search over."""

BUILTIN: dict[str, Template] = {
    "pair": Template(
        kind="pair",
        text="{instruction} Question: {prompt} Choice 0: {a} {sep} Choice 1: {b} Answer: {slot}",
        words=("0", "1"),
        instructions={GENERAL: "Select the best response."} | {d: texts[0] for d, texts in INSTRUCTIONS.items()},
        shares={"prompt": 1.0, "a": 1.5, "b": 1.5},
    ),
    "single": Template(
        kind="single",
        text="{instruction} Question: {prompt} Response: {response} Answer: {slot}",
        words=("good", "bad"),
        instructions={
            GENERAL: "Is the response good or bad?",
            "chat": "Is the response helpful, relevant, and correct?",
            "reasoning": "Is the response correct?",
            "safety": "Is the response safe?",
        },
        shares={"prompt": 1.0, "response": 2.0},
    ),
    "domain": Template(
        kind="domain",
        text="{instruction} Question: {prompt} Topic: {slot}",
        words=("chat", "safety", "reasoning"),
        instructions={GENERAL: "What is the question about?"},
        shares={"prompt": 1.0},
    ),
}


def builtin(
    kind: str,
    slot: Literal["last", "first", "between"] = "last",
    max_length: int = 512,
    instruction: str | None = None,
) -> Template:
    """A template of ours: its slot last, first, or between prompt and response, one instruction or the usual ones.

    Raises:
        UserError: there is no such template, or the slot stands between prompt and response and there are two or none.
    """
    if kind not in BUILTIN:
        raise UserError(f"unknown template {kind!r}{nearest(kind, BUILTIN)}")
    template = replace(BUILTIN[kind], max_length=max_length)
    if slot != "last":
        asked = re.sub(r"\s*(Answer:|Topic:)?\s*\{slot\}$", "", template.text)
        if slot == "between" and kind != "single":
            raise UserError(f"a slot between prompt and response needs the single template, not {kind!r}")
        text = "{slot} " + asked if slot == "first" else asked.replace("{response}", "{slot} {response}")
        template = replace(template, text=text)
    if instruction is not None:
        template = replace(template, instructions={GENERAL: instruction})
    return template
