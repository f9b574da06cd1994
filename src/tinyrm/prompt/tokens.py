"""Text to token ids, with the special tokens of user text made inert."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class SpecialTokens:
    """The tokens that frame a cloze, as the tokenizer spells them."""

    cls: str
    sep: str
    mask: str
    pad: str


class TextEncoder:
    """A tokenizer that encodes text as text: `[MASK]` or `</s>` in it never becomes the token of that name."""

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())  # ours to set up
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.special = special
        self.cls, self.sep, self.mask, self.pad = (
            self._id(t) for t in (special.cls, special.sep, special.mask, special.pad)
        )
        # Some vocabularies (SentencePiece) hold the spelling of a special token as an ordinary piece too.
        self._barred = {self.cls, self.sep, self.mask, self.pad}
        # WordPiece gives up on a word past so many characters and makes all of it one unknown token.
        longest = getattr(self._tokenizer.model, "max_input_chars_per_word", None)
        self._too_long = re.compile(rf"([^\s!-/:-@\[-`{{-~]{{{longest}}})(?=\S)") if longest else None

    @property
    def tokenizer_json(self) -> str:
        return str(self._tokenizer.to_str())

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of each text as it stands within a sentence (after a blank), without special tokens."""
        spaced = [" " + self._encodable(text) for text in texts]
        encodings = self._tokenizer.encode_batch_fast(spaced, add_special_tokens=False)
        return [self._inert(encoding.ids) for encoding in encodings]

    def word(self, word: str) -> int:
        """The id of an answer word that must be one token.

        Raises:
            UserError: the vocabulary splits the word.
        """
        (ids,) = self.encode([word])
        if len(ids) != 1 or self._tokenizer.id_to_token(ids[0]) == getattr(self._tokenizer.model, "unk_token", None):
            tokens = [self._tokenizer.id_to_token(i) for i in ids]
            raise UserError(f"the answer word {word!r} must be one token of this tokenizer, but it is {tokens}")
        return ids[0]

    def decode(self, ids: Iterable[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise UserError(f"the tokenizer has no token {token!r}, which a cloze needs")
        return int(found)

    def _inert(self, ids: list[int]) -> list[int]:
        return ids if self._barred.isdisjoint(ids) else [i for i in ids if i not in self._barred]

    def _encodable(self, text: str) -> str:
        """Lone surrogates, which no tokenizer takes, become question marks; words too long for it are split."""
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")
        return text if self._too_long is None else self._too_long.sub(r"\1 ", text)
