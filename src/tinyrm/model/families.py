"""The parts of a masked language model, under one set of names for every supported family.

Each family runs its own Hugging Face modules layer by layer, so that a model can be split at any
depth and packed without padding; `tests/model/test_families.py` holds the outcome to that of the
model's own forward.
"""

# Hugging Face's modules have no types that mypy could follow.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from ..errors import UserError
from .layout import Layout, Packed, Padded


class Family:
    """BERT, RoBERTa and their kin."""

    packs = True
    """Whether clozes can lie end to end; if not, they are padded."""

    def __init__(self, masked_lm: Any) -> None:
        self.masked_lm = masked_lm
        self.encoder = getattr(masked_lm, masked_lm.base_model_prefix)

    def layers(self) -> nn.ModuleList:
        return self.encoder.encoder.layer

    def lower_modules(self) -> list[nn.Module]:
        """What runs below and beside the layers: the embeddings and whatever all layers share."""
        return [self.encoder.embeddings]

    def upper_modules(self) -> list[nn.Module]:
        """What runs above the layers, the decoder excepted."""
        return [self.masked_lm.cls.predictions.transform]

    def final_modules(self) -> list[nn.Module]:
        """What of these belongs to the encoder, not to the MLM head."""
        return []

    def longest(self) -> int:
        """The most tokens that the positions of the model reach."""
        return int(self.encoder.config.max_position_embeddings)

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """Hidden states [..., width] of token ids [...]."""
        if isinstance(layout, Padded):
            return self.encoder.embeddings(input_ids=ids)
        place = layout.positions[None] + self._first_position()
        return self.encoder.embeddings(input_ids=ids[None], position_ids=place, token_type_ids=torch.zeros_like(place))[
            0
        ]

    def context(self, hidden: Tensor, layout: Layout) -> Any:
        """What every layer needs beside the hidden states."""
        return layout

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        """Layer `index` applied to the hidden states."""
        layer: Any = self.layers()[index]
        attention = layer.attention.self
        query, key, value = (_heads(part(hidden), attention) for part in _projections(attention))
        seen = context.attend(query, key, value)
        return layer.feed_forward_chunk(layer.attention.output(seen.flatten(-2), hidden))

    def run_at(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        """Layer `index` for the slots alone: [..., width] -> [clozes, width].

        Above the last layer only the slot is read, so only its query, projections and MLP are needed.
        """
        layer: Any = self.layers()[index]
        attention = layer.attention.self
        asked = context.at_slots(hidden)
        query, key, value = (
            _heads(part(states), attention)
            for part, states in zip(_projections(attention), (asked, hidden, hidden), strict=True)
        )
        seen = context.attend_at_slots(query, key, value)
        return layer.feed_forward_chunk(layer.attention.output(seen.flatten(-2), asked))

    def final(self, hidden: Tensor) -> Tensor:
        """The encoder's outcome from the states above the last layer."""
        return hidden

    def transform(self, hidden: Tensor) -> Tensor:
        """The MLM head up to, but without, its decoder: [..., width] -> [..., width]."""
        return self.masked_lm.cls.predictions.transform(hidden)

    def last_norm(self) -> nn.Module:
        """The normalisation just before the decoder."""
        return self.masked_lm.cls.predictions.transform.LayerNorm

    def decoder(self) -> tuple[Tensor, Tensor]:
        """The decoder's weight [vocabulary, width], tied to the embeddings, and bias [vocabulary]."""
        decoder = self.masked_lm.get_output_embeddings()
        return decoder.weight, decoder.bias

    def _first_position(self) -> int:
        return 0


class Roberta(Family):
    def longest(self) -> int:
        return super().longest() - self._first_position()

    def _first_position(self) -> int:
        return int(self.encoder.config.pad_token_id) + 1  # positions begin after the padding's

    def upper_modules(self) -> list[nn.Module]:
        return [self.masked_lm.lm_head.dense, self.masked_lm.lm_head.layer_norm]

    def transform(self, hidden: Tensor) -> Tensor:
        head = self.masked_lm.lm_head
        return head.layer_norm(nn.functional.gelu(head.dense(hidden)))

    def last_norm(self) -> nn.Module:
        return self.masked_lm.lm_head.layer_norm


class ModernBert(Family):
    """ModernBERT and Ettin: rotary positions, local attention in most layers, a norm above the last."""

    def layers(self) -> nn.ModuleList:
        return self.encoder.layers

    def upper_modules(self) -> list[nn.Module]:
        return [self.encoder.final_norm, self.masked_lm.head]

    def final_modules(self) -> list[nn.Module]:
        return [self.encoder.final_norm]

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        return self.encoder.embeddings(input_ids=ids)

    def context(self, hidden: Tensor, layout: Layout) -> Any:
        tokens = torch.arange(hidden.shape[-2], device=hidden.device)
        place = layout.positions if isinstance(layout, Packed) else tokens
        kinds = set(self.encoder.config.layer_types)
        # [tokens, size] of cosines and sines each, whether rows or one long sequence are turned
        rope = {kind: tuple(part[0] for part in self.encoder.rotary_emb(hidden, place[None], kind)) for kind in kinds}
        return layout, rope

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        layout, rope = context
        layer: Any = self.layers()[index]
        query, key, value = self._turned(layer, hidden, rope)
        seen = layout.attend(query, key, value, self._near(layer))
        hidden = hidden + layer.attn.Wo(seen.flatten(-2))
        return hidden + layer.mlp(layer.mlp_norm(hidden))

    def run_at(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        layout, rope = context
        layer: Any = self.layers()[index]
        query, key, value = self._turned(layer, hidden, rope)
        seen = layout.attend_at_slots(layout.at_slots(query), key, value, self._near(layer))
        out = layout.at_slots(hidden) + layer.attn.Wo(seen.flatten(-2))
        return out + layer.mlp(layer.mlp_norm(out))

    def final(self, hidden: Tensor) -> Tensor:
        return self.encoder.final_norm(hidden)

    def transform(self, hidden: Tensor) -> Tensor:
        return self.masked_lm.head(self.final(hidden))

    def last_norm(self) -> nn.Module:
        return self.masked_lm.head.norm

    def _turned(self, layer: Any, hidden: Tensor, rope: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value [..., tokens, heads, size], the first two turned by their places."""
        qkv = layer.attn.Wqkv(layer.attn_norm(hidden))
        query, key, value = qkv.view(*hidden.shape[:-1], 3, -1, layer.attn.head_dim).unbind(dim=-3)
        query, key = apply_rotary_pos_emb(query, key, *rope[layer.attention_type], unsqueeze_dim=-2)
        return query, key, value

    def _near(self, layer: Any) -> int | None:
        return self.encoder.config.sliding_window if layer.attention_type == "sliding_attention" else None


class Deberta(Family):
    """DeBERTa v2 and v3: relative positions shared by all layers, a convolution beside the first."""

    packs = False

    def lower_modules(self) -> list[nn.Module]:
        encoder = self.encoder.encoder
        shared = [getattr(encoder, name, None) for name in ("rel_embeddings", "LayerNorm", "conv")]
        return [self.encoder.embeddings, *(module for module in shared if module is not None)]

    def embed(self, ids: Tensor, layout: Any) -> Tensor:
        return self.encoder.embeddings(input_ids=ids, mask=layout.mask)

    def context(self, hidden: Tensor, layout: Any) -> Any:
        encoder = self.encoder.encoder
        mask = layout.mask
        mask = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device) if mask is None else mask
        shared = mask, encoder.get_attention_mask(mask), encoder.get_rel_pos(hidden), encoder.get_rel_embedding()
        return layout, shared

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        _, (mask, pairs, places, embeddings) = context
        out, _ = self.layers()[index](hidden, pairs, relative_pos=places, rel_embeddings=embeddings)
        conv = self.encoder.encoder.conv
        return conv(hidden, out, mask) if index == 0 and conv is not None else out

    def run_at(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        return context[0].at_slots(self.run(index, hidden, context))

    def upper_modules(self) -> list[nn.Module]:
        head = self._head()
        return [head.dense, head.LayerNorm]

    def transform(self, hidden: Tensor) -> Tensor:
        head = self._head()
        return head.LayerNorm(head.transform_act_fn(head.dense(hidden)))

    def last_norm(self) -> nn.Module:
        return self._head().LayerNorm

    def decoder(self) -> tuple[Tensor, Tensor]:
        if self.masked_lm.legacy:
            return super().decoder()
        return self.encoder.embeddings.word_embeddings.weight, self._head().bias

    def _head(self) -> Any:
        return (
            self.masked_lm.cls.predictions.transform if self.masked_lm.legacy else self.masked_lm.lm_predictions.lm_head
        )


def _projections(attention: Any) -> tuple[nn.Module, nn.Module, nn.Module]:
    return attention.query, attention.key, attention.value


def _heads(states: Tensor, attention: Any) -> Tensor:
    """[..., width] -> [..., heads, size]"""
    return states.view(*states.shape[:-1], attention.num_attention_heads, attention.attention_head_size)


FAMILIES: dict[str, type[Family]] = {
    "bert": Family,
    "roberta": Roberta,
    "xlm-roberta": Roberta,
    "camembert": Roberta,
    "modernbert": ModernBert,
    "deberta-v2": Deberta,
}
"""By `model_type` of config.json. Ettin is a ModernBERT, MiniLM a BERT, DeBERTa v3 a `deberta-v2`."""


def family_of(masked_lm: Any) -> Family:
    """The family of a masked LM.

    Raises:
        UserError: its `model_type` is not among FAMILIES.
    """
    kind = masked_lm.config.model_type
    if kind not in FAMILIES:
        raise UserError(f"models of type {kind!r} are not supported; supported: {', '.join(FAMILIES)}")
    return FAMILIES[kind](masked_lm)
