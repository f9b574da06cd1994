"""Models of transformers as they come from the Hub: loaded safely, fed in batches of like length."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrm.errors import UserError, require
from tinyrm.infer.engine import TOKENS_PER_BATCH
from tinyrm.infer.torch_backend import GPU_TOKENS_PER_BATCH
from tinyrm.prompt.packing import allot, shorten

from ..cost import Architecture, Work, architecture_of
from .base import Progress

_PADDED_FROM_PAD = {"roberta", "xlm-roberta", "camembert"}
"""Families whose positions begin after the padding's id, which their table of positions therefore holds in vain."""


@dataclass(frozen=True)
class Encoded:
    """One sequence: token ids, to which text each belongs (0 or 1), and tokens cut by field."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    cut: dict[str, int] = field(default_factory=dict)


class Transformer:
    """A model and its tokenizer; float32 on a CPU, bfloat16 on a GPU.

    auto: the class of transformers that loads it. may_lack: parts that may be missing in the file, since nobody reads
        them; anything else that is missing would be random.

    Raises:
        UserError: torch or transformers are not installed; or the model cannot be loaded from safetensors without
            remote code; or a part of it is missing.
    """

    def __init__(self, folder: Path, name: str, auto: str, *, may_lack: tuple[str, ...] = ()) -> None:
        self._torch = torch = require("torch", "train")
        transformers = require("transformers", "train")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.name = name
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = "bfloat16" if self._device.type == "cuda" else "float32"
        try:
            model, info = getattr(transformers, auto).from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=getattr(torch, self.dtype),
                output_loading_info=True,
            )
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as problem:  # whatever a damaged file or an unknown model leads to
            raise UserError(f"cannot load the model {name!r}: {(str(problem).splitlines() or [''])[0]}") from None
        missing = sorted(key for key in info["missing_keys"] if not any(part in key for part in may_lack))
        if missing:
            raise UserError(f"{name!r} lacks the weights {', '.join(missing[:3])}: they would be random")
        self.model: Any = model.to(self._device).eval()
        self.config: Any = model.config.get_text_config()
        # Where its files are missing, transformers makes an empty tokenizer.
        if not self.tokenizer.is_fast or 2 * len(self.tokenizer) < self.config.vocab_size:
            raise UserError(f"{name!r} has no tokenizer.json that fits its {self.config.vocab_size:,} tokens")
        self._own_pad = self.config.pad_token_id
        self.max_length = self._longest()
        takes = inspect.signature(model.forward).parameters
        self._takes_types = "token_type_ids" in takes and getattr(self.config, "type_vocab_size", 0) > 1

    def _longest(self) -> int:
        reach = int(getattr(self.config, "max_position_embeddings", 0) or getattr(self.config, "n_positions", 0) or 512)
        if self.config.model_type in _PADDED_FROM_PAD:
            reach -= int(self.config.pad_token_id) + 1
        return min(reach, int(self.tokenizer.model_max_length))

    def architecture(self) -> Architecture | None:
        """Its sizes, if its family is one whose cost is known."""
        try:
            return architecture_of(self.config.to_dict())
        except UserError:
            return None

    def encode(self, prompts: Sequence[str], responses: Sequence[str] | None = None) -> list[Encoded]:
        """Prompts alone or pairs of texts, with the tokenizer's special tokens; what is too long loses its middle."""
        if not prompts:
            return []
        if responses is not None and not self.tokenizer.num_special_tokens_to_add(pair=True):
            responses = ["\n\n" + text for text in responses]  # nothing else would part the two
        found = self.tokenizer(list(prompts), None if responses is None else list(responses), truncation=False)
        types = found.get("token_type_ids") or [None] * len(prompts)
        return [self._fit(found["input_ids"][i], found.sequence_ids(i), types[i]) for i in range(len(prompts))]

    def encode_rendered(self, texts: Sequence[str], starts: Sequence[int]) -> list[Encoded]:
        """Texts that hold their special tokens already; starts: where in each the response begins, in characters."""
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, truncation=False)
        return [
            self._fit(found["input_ids"][i], [int(end > start) for _, end in found["offset_mapping"][i]], None)
            for i, start in enumerate(starts)
        ]

    def _fit(self, ids: list[int], text_of: Sequence[int | None], types: list[int] | None) -> Encoded:
        """Cuts the middles of the texts, where text_of says to which each token belongs (None: to neither)."""
        places = [[i for i, text in enumerate(text_of) if text == which] for which in (0, 1)]
        fixed = [i for i, text in enumerate(text_of) if text is None]
        rooms = allot([len(p) for p in places], (1.0, 2.0), max(0, self.max_length - len(fixed)))
        kept, cut = fixed, {}
        for name, mine, room in zip(("prompt", "response"), places, rooms, strict=True):
            left, removed = shorten(mine, room, [])
            kept = kept + left
            if removed:
                cut[name] = removed
        kept = sorted(kept)
        types = types or [0] * len(ids)
        if not kept:  # no text and no special token: a model needs something to read
            return Encoded((self.tokenizer.unk_token_id or 0,), (0,), cut)
        return Encoded(tuple(ids[i] for i in kept), tuple(types[i] for i in kept), cut)

    def run(
        self, sequences: Sequence[Encoded], read: Callable[[Any, Any], Any], work: Work, progress: Progress
    ) -> np.ndarray:
        """What `read` takes from the model's outcome and the mask [rows, tokens] for each sequence: [n, ...] float32.

        Equal sequences are computed once; batches are formed of the sorted ones, longest first.
        """
        torch = self._torch
        unique = sorted({(s.ids, s.types) for s in sequences}, key=lambda key: (len(key[0]), key))
        pad = self._pad({i for ids, _ in unique for i in ids})
        times: dict[Any, int] = {}
        for s in sequences:
            times[s.ids, s.types] = times.get((s.ids, s.types), 0) + 1
        budget = GPU_TOKENS_PER_BATCH if self._device.type == "cuda" else TOKENS_PER_BATCH
        found: dict[Any, np.ndarray] = {}
        while len(found) < len(unique):
            stop = len(unique) - len(found)
            longest = len(unique[stop - 1][0])
            batch = unique[max(0, stop - (max(1, budget // longest) if pad is not None else 1)) : stop]
            ids = torch.full((len(batch), longest), pad or 0)
            types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
            for row, (tokens, parts) in enumerate(batch):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                types[row, : len(tokens)] = torch.tensor(parts)
                mask[row, : len(tokens)] = 1
            inputs = {"input_ids": ids, "attention_mask": mask} | (
                {"token_type_ids": types} if self._takes_types else {}
            )
            inputs = {key: value.to(self._device) for key, value in inputs.items()}
            with torch.inference_mode():
                out = read(self.model(**inputs), inputs["attention_mask"]).float().cpu().numpy()
            found.update(zip(batch, out, strict=True))
            work.lengths.update(len(tokens) for tokens, _ in batch)
            progress(sum(times[key] for key in batch))
        return np.stack([found[s.ids, s.types] for s in sequences])

    def _pad(self, used: set[int]) -> int | None:
        """What rows are filled up with; None if there is nothing to fill them with.

        A decoder reads its reward at the last token that is not this one. Where its config names none, it is one that
        stands in no text, so that no text ends early.
        """
        if self._own_pad is not None:
            return int(self._own_pad)
        pad = next((i for i in reversed(range(self.config.vocab_size)) if i not in used), None)
        self.config.pad_token_id = pad
        return pad
