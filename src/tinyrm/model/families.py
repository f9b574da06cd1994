"""The parts of a masked language model, under one set of names for every supported family.

Each family runs its own Hugging Face modules layer by layer, so that a model can be split at any
depth; `tests/model/test_families.py` holds the outcome to that of the model's own forward.
"""

# Hugging Face's modules have no types that mypy could follow.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.modernbert.modeling_modernbert import apply_rotary_pos_emb

from ..errors import UserError


def at(hidden: Tensor, slot: Tensor) -> Tensor:
    """The states of one place in each row: [rows, tokens, ...], [rows] -> [rows, ...]."""
    return hidden[torch.arange(slot.shape[0], device=slot.device), slot]


class Family:
    """BERT, RoBERTa and their kin: a stack of layers that share one mask of the keys."""

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

    def longest(self) -> int:
        """The most tokens that the positions of the model reach."""
        return int(self.encoder.config.max_position_embeddings)

    def embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states [rows, tokens, width] of token ids [rows, tokens]."""
        return self.encoder.embeddings(input_ids=ids)

    def context(self, hidden: Tensor, mask: Tensor | None) -> Any:
        """What every layer needs beside the hidden states; `mask` [rows, tokens] is None if nothing is padding."""
        return None if mask is None else mask[:, None, None, :].bool()

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        """Layer `index` applied to the hidden states."""
        return self.layers()[index](hidden, context)

    def run_at(self, index: int, hidden: Tensor, context: Any, slot: Tensor) -> Tensor:
        """Layer `index` for the slots alone: [rows, tokens, width] -> [rows, width].

        Above the last layer only the slot is read, so only its query, projections and MLP are needed.
        """
        layer: Any = self.layers()[index]
        attention = layer.attention.self
        asked = at(hidden, slot)
        query, key, value = (
            states.view(slot.shape[0], -1, attention.num_attention_heads, attention.attention_head_size).transpose(1, 2)
            for states in (attention.query(asked), attention.key(hidden), attention.value(hidden))
        )
        seen = scaled_dot_product_attention(query, key, value, attn_mask=context)
        return layer.feed_forward_chunk(layer.attention.output(seen.reshape(slot.shape[0], -1), asked))

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


class Roberta(Family):
    def longest(self) -> int:
        return super().longest() - self.encoder.config.pad_token_id - 1  # its positions begin after the padding's

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

    def context(self, hidden: Tensor, mask: Tensor | None) -> Any:
        tokens = hidden.shape[1]
        place = torch.arange(tokens, device=hidden.device)
        near = (place[:, None] - place[None, :]).abs() <= self.encoder.config.sliding_window
        keys = None if mask is None else mask[:, None, None, :].bool()
        masks = {"full_attention": keys, "sliding_attention": near[None, None] if keys is None else near & keys}
        # A padded query near no real key would attend to nothing (NaN in SDPA): let every token see itself.
        if keys is not None:
            masks["sliding_attention"] = masks["sliding_attention"] | torch.eye(
                tokens, dtype=torch.bool, device=hidden.device
            )
        rope = {
            kind: self.encoder.rotary_emb(hidden, place[None], kind) for kind in set(self.encoder.config.layer_types)
        }
        return masks, rope

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        masks, rope = context
        layer: Any = self.layers()[index]
        kind = layer.attention_type
        return layer(hidden, attention_mask=masks[kind], position_embeddings=rope[kind])

    def run_at(self, index: int, hidden: Tensor, context: Any, slot: Tensor) -> Tensor:
        masks, rope = context
        layer: Any = self.layers()[index]
        mask = masks[layer.attention_type]
        if mask is not None and mask.shape[2] > 1:
            mask = at(mask.expand(slot.shape[0], -1, -1, -1).transpose(1, 2), slot)[:, None]
        qkv = layer.attn.Wqkv(layer.attn_norm(hidden))
        query, key, value = qkv.view(*hidden.shape[:2], 3, -1, layer.attn.head_dim).unbind(dim=-3)
        query, key = apply_rotary_pos_emb(query, key, *rope[layer.attention_type], unsqueeze_dim=2)
        seen = scaled_dot_product_attention(
            at(query, slot)[:, :, None], key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
        )
        out = at(hidden, slot) + layer.attn.Wo(seen.reshape(slot.shape[0], -1))
        return out + layer.mlp(layer.mlp_norm(out))

    def transform(self, hidden: Tensor) -> Tensor:
        return self.masked_lm.head(self.encoder.final_norm(hidden))

    def last_norm(self) -> nn.Module:
        return self.masked_lm.head.norm


class Deberta(Family):
    """DeBERTa v2 and v3: relative positions shared by all layers, a convolution beside the first."""

    def lower_modules(self) -> list[nn.Module]:
        encoder = self.encoder.encoder
        shared = [getattr(encoder, name, None) for name in ("rel_embeddings", "LayerNorm", "conv")]
        return [self.encoder.embeddings, *(module for module in shared if module is not None)]

    def embed(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        return self.encoder.embeddings(input_ids=ids, mask=mask)

    def context(self, hidden: Tensor, mask: Tensor | None) -> Any:
        encoder = self.encoder.encoder
        mask = torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device) if mask is None else mask
        return mask, encoder.get_attention_mask(mask), encoder.get_rel_pos(hidden), encoder.get_rel_embedding()

    def run(self, index: int, hidden: Tensor, context: Any) -> Tensor:
        mask, pairs, places, embeddings = context
        out, _ = self.layers()[index](hidden, pairs, relative_pos=places, rel_embeddings=embeddings)
        conv = self.encoder.encoder.conv
        return conv(hidden, out, mask) if index == 0 and conv is not None else out

    def run_at(self, index: int, hidden: Tensor, context: Any, slot: Tensor) -> Tensor:
        return at(self.run(index, hidden, context), slot)

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
