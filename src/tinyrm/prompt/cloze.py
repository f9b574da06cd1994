"""Questions written out as clozes: token ids, the place of the slot, and what was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..types import Message, Prompt
from .packing import allot, shorten
from .template import FIELDS, Template
from .tokens import TextEncoder

SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "System"}
LEAST_ROOM = 8
"""Tokens that every field must be able to keep, however long the others are."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a template is filled with: a prompt and none, one or two responses."""

    prompt: Prompt
    responses: tuple[str, ...] = ()
    domain: str | None = None


@dataclass(frozen=True, slots=True)
class Cloze:
    """One sequence for the encoder. `cut` counts tokens removed by field, empty if nothing was."""

    ids: tuple[int, ...]
    slot: int
    cut: dict[str, int]


class ClozeWriter:
    """Writes questions as clozes of one template with one tokenizer."""

    def __init__(self, encoder: TextEncoder, template: Template) -> None:
        self.encoder = encoder
        self.template = template
        self.fields = FIELDS[template.kind]
        self.word_ids = tuple(encoder.word(word) for word in template.words)
        for place, (word, i) in enumerate(zip(template.words, self.word_ids, strict=True)):
            if i in self.word_ids[:place]:
                same = template.words[self.word_ids.index(i)]
                raise UserError(f"the answer words {same!r} and {word!r} are one and the same token of this tokenizer")
        self._weights = [template.shares.get(name, 1.0) for name in self.fields]
        (self._gap,) = encoder.encode(["…"])
        self._frames = {text: self._frame(text) for text in {template.instruction(d) for d in template.instructions}}

    def write(self, questions: Sequence[Question]) -> list[Cloze]:
        """The cloze of each question, each at most `template.max_length` tokens long."""
        turns = [self._texts(question) for question in questions]
        unique = list(dict.fromkeys(text for fields in turns for field in fields for text in field))
        ids_of = dict(zip(unique, self.encoder.encode(unique), strict=True))
        clozes = []
        for question, fields in zip(questions, turns, strict=True):
            ids = [[i for text in field for i in ids_of[text]] for field in fields]
            clozes.append(self._pack(self._frames[self.template.instruction(question.domain)], ids))
        return clozes

    def _texts(self, question: Question) -> list[list[str]]:
        """Each field's text; a conversation turn by turn, a lone question without its speaker."""
        expected = len(self.fields) - 1
        if len(question.responses) != expected:
            raise ValueError(f"a {self.template.kind} question has {expected} responses, not {len(question.responses)}")
        return [_turns(question.prompt), *([response] for response in question.responses)]

    def _frame(self, instruction: str) -> list[list[int] | str]:
        """The template with everything but its fields as token ids."""
        frame: list[list[int] | str] = [] if self.template.slot_first else [[self.encoder.cls]]
        for piece in self.template.pieces():
            if piece == "{slot}":
                frame.append("slot")
            elif piece == "{sep}":
                frame.append([self.encoder.sep])
            elif piece == "{instruction}":
                frame.append(self.encoder.encode([instruction])[0] if instruction else [])
            elif piece.startswith("{"):
                frame.append(piece[1:-1])
            else:
                frame.append(self.encoder.encode([piece])[0])
        frame.append([self.encoder.sep])
        if self._room(frame) * min(self._weights) < LEAST_ROOM * sum(self._weights):
            raise UserError(
                f"max_length {self.template.max_length} leaves no room beside the template and its instruction "
                f"({self.template.max_length - self._room(frame)} tokens): raise max_length or shorten the instruction"
            )
        return frame

    def _room(self, frame: list[list[int] | str]) -> int:
        return self.template.max_length - sum(
            1 if part == "slot" else len(part) for part in frame if part not in self.fields
        )

    def _pack(self, frame: list[list[int] | str], ids: list[list[int]]) -> Cloze:
        rooms = allot([len(field) for field in ids], self._weights, self._room(frame))
        kept, cut = {}, {}
        for name, field, room in zip(self.fields, ids, rooms, strict=True):
            kept[name], removed = shorten(field, room, self._gap)
            if removed:
                cut[name] = removed
        out: list[int] = []
        slot = 0
        for part in frame:
            if part == "slot":
                slot = len(out)
                out.append(self.encoder.mask)
            else:
                out += kept[part] if isinstance(part, str) else part
        return Cloze(tuple(out), slot, cut)


def _turns(prompt: Prompt) -> list[str]:
    if len(prompt) == 1 and prompt[0].role == "user":
        return [prompt[0].content]
    return [_spoken(message) for message in prompt]


def _spoken(message: Message) -> str:
    return f"{SPEAKERS.get(message.role, message.role.capitalize())}: {message.content}"
