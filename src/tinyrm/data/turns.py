"""Conversations as people store them: message lists, ShareGPT turns and `Human: ...` transcripts."""

from __future__ import annotations

import re
from typing import Any

from tinyrm.types import Message, Prompt

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_MARKS = {"system": "System", "user": "Human", "assistant": "Assistant"}

_OPENING = re.compile(r"\s*(?:Human|User|System):(?!\S)")
_USER = re.compile(r"(?:\A\s*|\n[ \t]*\n[ \t]*)(Human|User):(?!\S)")
_TURN = {
    user: re.compile(rf"(?:\A\s*(System|{user})|\n[ \t]*\n[ \t]*({user}|Assistant)):(?!\S)")
    for user in ("Human", "User")
}


class BadRow(Exception):
    """A row that cannot be read as asked; the message is the reason."""


def parse_transcript(text: str) -> Prompt | None:
    """The turns of `Human: ...`, blank line, `Assistant: ...`, blank line, `Human: ...`.

    None unless the text opens with the mark of a human or system turn and has two turns or more. An
    empty last turn of the assistant (`Assistant:` as the place to continue) is left out.
    """
    turns = transcript_turns(text)
    if turns and turns[-1] == Message("assistant", ""):
        turns = turns[:-1]
    return turns


def transcript_turns(text: str) -> Prompt | None:
    """As `parse_transcript`, but with an empty last turn."""
    if not _OPENING.match(text) or not (user := _USER.search(text)):
        return None
    # Whichever mark the transcript uses first; the other may be part of what somebody quotes.
    marks = list(_TURN[user[1]].finditer(text))
    roles = [ROLES[(mark[1] or mark[2]).lower()] for mark in marks]
    if len(marks) < 2 or next(role for role in roles if role != "system") != "user":
        return None
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return tuple(
        Message(role, text[mark.end() : end].strip()) for role, mark, end in zip(roles, marks, ends, strict=True)
    )


def render(turns: Prompt) -> str:
    """Turns as one text: the first bare, as the reply it is, the later ones with their marks."""
    first, *later = turns
    return "\n\n".join([first.content, *(f"{_MARKS[turn.role]}: {turn.content}" for turn in later)])


def to_turns(value: Any, column: str) -> Prompt:
    """Messages from lists of {role, content} or {from, value}, or one such record.

    Raises:
        BadRow: the value is something else.
    """
    if isinstance(value, dict):
        columns = {key: inner for key, inner in value.items() if isinstance(inner, list)}
        if {"role", "content"} <= columns.keys():  # how `datasets` stores a Sequence of records
            value = [{"role": r, "content": c} for r, c in zip(columns["role"], columns["content"], strict=False)]
        else:
            value = [value]
    if not isinstance(value, list):
        raise BadRow(f"{column} is neither a text nor a list of messages but {kind(value)}")
    if any(isinstance(item, str) for item in value):
        raise BadRow(f"{column} is a list of texts, as in RM-Bench and RewardBench 2: read it as that benchmark")
    return tuple(_message(item, column) for item in value)


def _message(item: Any, column: str) -> Message:
    if not isinstance(item, dict):
        raise BadRow(f"{column} holds {kind(item)} where a message is expected")
    role, content = str(item.get("role", item.get("from"))).lower(), item.get("content", item.get("value"))
    if role not in ROLES:
        raise BadRow(f"unknown role: {column} has a message of {role!r}")
    if isinstance(content, list):  # parts, as in the OpenAI API
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        if not all(isinstance(part, str) for part in parts):
            raise BadRow(f"{column} has a message that is not only text")
        content = "".join(map(str, parts))
    if not isinstance(content, str | None):
        raise BadRow(f"{column} has a message whose content is {kind(content)}")
    return Message(ROLES[role], content or "")


def divide(prompt: Prompt | None, first: Prompt, second: Prompt) -> tuple[Prompt, str, str]:
    """Prompt and two responses of two conversations, which share their opening.

    The prompt is the opening up to a turn of the user. What follows is the response: mostly one turn,
    else (the conversations part early) all the rest as one text. `prompt`, from a column of its own,
    is used where it says more than the opening.

    Raises:
        BadRow: the conversations share no turn of the user.
    """
    first, second = first or second[:-1], second or first[:-1]  # no turn at all: no reply to the same prompt
    shared = 0
    while shared < min(len(first), len(second)) and first[shared] == second[shared]:
        shared += 1
    while shared and first[shared - 1].role == "assistant":
        shared -= 1
    opening = first[:shared]
    if prompt is None or prompt[len(prompt) - len(opening) :] != opening:
        asks = any(turn.role == "user" for turn in opening)
        prompt = opening if asks else (*opening, *(prompt or ()))
    texts = []
    for turns in (first[shared:], second[shared:]):
        if not prompt or (turns and turns[0].role != "assistant"):
            raise BadRow("the two conversations do not share a prompt")
        texts.append(render(turns) if turns and turns[-1].content.strip() else "")
    return prompt, texts[0], texts[1]


def kind(value: Any) -> str:
    """What a value is, in the words of an error message."""
    return "missing" if value is None else f"of type {type(value).__name__}"
