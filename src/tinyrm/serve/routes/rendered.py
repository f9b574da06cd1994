"""A conversation as a chat template wrote it, read back into a prompt and a response.

Trainers send what their policy's tokenizer decoded, special tokens and all. A reward model with a template of its own
needs the turns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinyrm.data.turns import transcript_turns
from tinyrm.types import Message, Prompt

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "tool": "user",
    "ipython": "user",
    "observation": "user",
    "assistant": "assistant",
    "model": "assistant",
    "gpt": "assistant",
    "chatbot": "assistant",
}
_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
    "<pad>",
    "<|pad|>",
    "<|finetune_right_pad_id|>",
)
"""What closes a turn or pads a text."""
_STARTS = re.compile(
    r"\A(?:\s*(?:<\|begin_of_text\|>|<bos>|<s>|<｜begin▁of▁sentence｜>|<\|endoftext\|>|<pad>|<\|pad\|>))+"
)


@dataclass(frozen=True)
class _Format:
    """headers: opens a turn and names its role in its one group."""

    name: str
    headers: re.Pattern[str]


_FORMATS = (
    _Format("ChatML", re.compile(r"<\|im_start\|>\s*(\w+)(?:<\|im_sep\|>|\r?\n)")),
    _Format("Llama 3", re.compile(r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>\s*")),
    _Format("Gemma", re.compile(r"(?:<start_of_turn>|<\|turn>)(\w+)\r?\n")),
    _Format("DeepSeek", re.compile(r"<｜(User|Assistant)｜>")),
    _Format("Zephyr and Phi", re.compile(r"<\|(system|user|assistant)\|>\s*")),
)


def split(text: str, prompt: str | None = None) -> tuple[Prompt, str] | None:
    """The prompt and the response in a rendered conversation, or None if it has no known form.

    prompt: how the text begins, where the caller knows it. All after it is then the response, whatever marks of turns
        a policy may have learned to write there.
    """
    if prompt and (response := _after(text, prompt)) is not None:
        return _open(_turns(prompt)) or (Message("user", prompt),), _closed(response)
    turns = _turns(text)
    # The response begins at the first turn of the assistant after the last one of somebody else.
    place = len(turns)
    while place and turns[place - 1].role == "assistant":
        place -= 1
    if not place or place == len(turns):
        return None
    return turns[:place], "\n\n".join(turn.content for turn in turns[place:])


def known_formats() -> str:
    return ", ".join([*(known.name for known in _FORMATS), "Mistral", "Human: ... Assistant: ..."])


def _after(text: str, prompt: str) -> str | None:
    """What follows the prompt; its decoded form may have gained or lost a token at its very start."""
    if text.startswith(prompt):
        return text[len(prompt) :]
    bare, whole = _STARTS.sub("", prompt).lstrip(), _STARTS.sub("", text).lstrip()
    return whole[len(bare) :] if bare and whole.startswith(bare) else None


def _open(turns: Prompt) -> Prompt:
    """Turns without an empty last one of the assistant, which is the place to write."""
    return turns[:-1] if turns and turns[-1] == Message("assistant", "") else turns


def _turns(text: str) -> Prompt:
    """The turns of a text; none if it has no known form. Each step is linear: the text is a stranger's."""
    for known in _FORMATS:
        found = list(known.headers.finditer(text))
        if found:
            ends = [match.start() for match in found[1:]] + [len(text)]
            return tuple(
                Message(_ROLES.get(match[1].lower(), "user"), _closed(text[match.end() : end]))
                for match, end in zip(found, ends, strict=True)
            )
    return _mistral(text) or transcript_turns(text) or ()


def _mistral(text: str) -> Prompt:
    turns: list[Message] = []
    for part in text.split("[INST]")[1:]:
        asked, closed, response = part.partition("[/INST]")
        if asked.lstrip().startswith("<<SYS>>") and "<</SYS>>" in asked:
            system, _, asked = asked.lstrip().removeprefix("<<SYS>>").partition("<</SYS>>")
            turns.append(Message("system", system.strip()))
        turns.append(Message("user", asked.strip()))
        if closed:
            turns.append(Message("assistant", _closed(response)))
    return tuple(turns)


def _closed(text: str) -> str:
    """A turn without blanks around it and the tokens that close it."""
    end, before = len(text), -1
    while end != before:
        before = end
        while end and text[end - 1].isspace():
            end -= 1
        for token in _ENDS:
            if text.endswith(token, 0, end):
                end -= len(token)
                break
    return text[:end].strip()
