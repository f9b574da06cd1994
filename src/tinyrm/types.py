"""The nouns that every room shares: messages, preferences, verdicts and rewards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

DOMAINS = ("chat", "safety", "reasoning")
"""Domains with an instruction of their own (paper, section on prompting)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


Prompt: TypeAlias = tuple[Message, ...]
PromptLike: TypeAlias = "str | Prompt | list[Message] | list[dict[str, Any]]"


def to_prompt(prompt: PromptLike) -> Prompt:
    """A prompt in its one inner form: a string is a single user turn."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    turns = []
    for turn in prompt:
        if isinstance(turn, Message):
            turns.append(turn)
        elif isinstance(turn, Mapping) and "content" in turn:
            turns.append(Message(str(turn.get("role", "user")), _text(turn["content"])))
        else:
            raise TypeError(f"a prompt is a string or a list of messages, not a list with {type(turn).__name__}")
    return tuple(turns)


def _text(content: Any) -> str:
    """The text of a message: a string, or a list of parts as OpenAI's clients write them."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        return "\n".join(str(part["text"]) for part in content)
    raise TypeError("the content of a message is a string or a list of parts with text")


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt and two responses, of which `chosen` is the better one.

    `tie` says that neither is better (then the two names mean nothing); `margin` says by how much
    `chosen` is better, on the scale of its source; `probability` is how sure a judge was that it is
    (a soft label, at least 0.5).
    """

    prompt: Prompt
    chosen: str
    rejected: str
    margin: float | None = None
    tie: bool = False
    probability: float | None = None
    domain: str | None = None
    source: str | None = None
    subset: str | None = None
    id: str | None = None

    @property
    def target(self) -> float:
        """What a model should answer: the probability that `chosen` is better."""
        if self.probability is not None:
            return self.probability
        return 0.5 if self.tie else 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of two responses, A or B, is better.

    p_a: calibrated probability that A is better, from the log-odds averaged over both orders.
    logit: those averaged log-odds before calibration; above 0 means A.
    p_a_shown_first, p_a_shown_second: the same probability in each order alone. A model that reads
        responses one by one knows no order, so there both equal `p_a`.
    cut: tokens removed to fit the model's length, by field (`prompt`, `a`, `b`); empty if none.
    """

    p_a: float
    logit: float
    p_a_shown_first: float
    p_a_shown_second: float
    cut: Mapping[str, int] = field(default_factory=dict)

    @property
    def better(self) -> Literal["A", "B", "tie"]:
        return "tie" if self.logit == 0 else "A" if self.logit > 0 else "B"

    @property
    def agree(self) -> bool:
        """Whether both orders name the same side."""
        return (self.p_a_shown_first - 0.5) * (self.p_a_shown_second - 0.5) > 0 or self.logit == 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "better": self.better,
            "p_a": self.p_a,
            "logit": self.logit,
            "p_a_shown_first": self.p_a_shown_first,
            "p_a_shown_second": self.p_a_shown_second,
            "orders_agree": self.agree,
            "cut": dict(self.cut),
        }


@dataclass(frozen=True, slots=True)
class Reward:
    """How good one response is.

    logit: the raw reward, comparable between responses to one prompt; unbounded.
    p: how likely it is preferred to a typical response of the held-out data: a guide, since the
        reward is trained and calibrated on responses to one prompt.
    cut: tokens removed to fit the model's length, by field (`prompt`, `response`); empty if none.
    """

    logit: float
    p: float
    cut: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"reward": self.logit, "p": self.p, "cut": dict(self.cut)}


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate of a ranking: its place in the input, its text, its score and its rank from 1."""

    rank: int
    index: int
    response: str
    score: float
    cut: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "index": self.index,
            "score": self.score,
            "response": self.response,
            "cut": dict(self.cut),
        }
