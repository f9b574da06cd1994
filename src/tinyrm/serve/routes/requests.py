"""Parts that the requests of several clients share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field
from starlette.requests import Request

from tinyrm.types import Message, Prompt

from ..judge import MOST_TURNS, Judge, Scored
from ..refusals import Answer, Refusal
from .rendered import known_formats, split


class Part(BaseModel):
    """A piece of a message's content, as OpenAI's clients write it."""

    text: str


class Turn(BaseModel):
    """One message of a conversation."""

    role: str = Field(max_length=32)
    content: str | list[Part] | None = None

    def message(self) -> Message:
        if isinstance(self.content, list):
            return Message(self.role, "\n".join(part.text for part in self.content))
        return Message(self.role, self.content or "")


Turns: TypeAlias = Annotated[list[Turn], Field(max_length=MOST_TURNS)]


def to_prompt(prompt: str | list[Turn]) -> Prompt:
    """Turns as the model wants them; a string is one turn of the user."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    return tuple(turn.message() for turn in prompt)


def divided(text: str, prompt: str | None = None) -> tuple[Prompt, str]:
    """The prompt and the response in one text.

    Raises:
        Refusal: nothing tells where the response begins. A guess would be a wrong score that nobody sees.
    """
    found = split(text, prompt)
    if found is None:
        raise Refusal(
            422,
            "nothing tells the response from the prompt in this text: send it as a chat template renders it "
            f"({known_formats()}), or send messages",
        )
    return found


def last_response(messages: list[Turn]) -> tuple[Prompt, str]:
    """A conversation that ends with the response to judge.

    Raises:
        Refusal: it does not.
    """
    turns = to_prompt(messages)
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise Refusal(422, "messages must end with a turn of the assistant: the response to judge")
    return turns[:-1], turns[-1].content


def judge_of(request: Request) -> Judge:
    judge: Judge = request.app.state.judge
    return judge


def scalars(body: Any, rule: str, scored: Sequence[Scored]) -> Answer:
    """An answer that holds numbers, with the rule that made them and how many texts were cut in its headers."""
    cut = sum(1 for one in scored if one.cut)
    return Answer(body, headers={"X-TinyRM-Scoring": rule, "X-TinyRM-Cut": str(cut)})


def listing(prefix: str, judge: Judge) -> dict[str, Any]:
    """How the lists of OpenAI's and vLLM's routes begin."""
    return {"id": new_id(prefix), "object": "list", "created": int(time.time()), "model": judge.name}


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def usage(scored: Sequence[Scored]) -> dict[str, Any]:
    """Tokens as guessed from the length of the texts."""
    tokens = sum(one.tokens for one in scored)
    return {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
