"""Prompts as plain text or as messages, for judges with formats of their own."""

from __future__ import annotations

from tinyrm.types import Prompt

_SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}


def as_text(prompt: Prompt) -> str:
    """A lone question as it is; a conversation turn by turn, each with its speaker."""
    if len(prompt) == 1 and prompt[0].role == "user":
        return prompt[0].content
    return "\n\n".join(f"{_SPEAKERS.get(turn.role, turn.role)}: {turn.content}" for turn in prompt)


def as_messages(prompt: Prompt, response: str | None = None) -> list[dict[str, str]]:
    """[{"role", "content"}], the response as the last turn of the assistant."""
    messages = [{"role": turn.role, "content": turn.content} for turn in prompt]
    return messages if response is None else [*messages, {"role": "assistant", "content": response}]
