"""Padded rows whose attention is one operator of ONNX Runtime, instead of many with a matrix of scores between them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..model.layout import Padded

OUT_OF_REACH = -1e4
"""Added to the score of a key that a query does not see, as the operator itself does for padding."""


class FusedRows(Padded):
    """The graph's rows: `com.microsoft.MultiHeadAttention` (ONNX Runtime 1.20 and later) instead of SDPA's parts.

    Works in an export alone.
    """

    def attend(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        if near is None:
            return self._fused(query, key, value, None)
        place = torch.arange(query.shape[1], device=query.device)
        return self._fused(query, key, value, _far((place[:, None] - place).abs() > near)[None, None])

    def attend_at_slots(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        bias = None
        if near is not None:
            place = torch.arange(key.shape[1], device=key.device)
            bias = _far((place - self.slots[:, None]).abs() > near)[:, None, None]
        return self._fused(query[:, None], key, value, bias)[:, 0]

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """[rows, tokens, heads, size] of each -> the query's shape; bias [rows or 1, 1, queries, keys]."""
        heads, size = query.shape[-2:]
        assert self.mask is not None
        seen = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query.flatten(-2), key.flatten(-2), value.flatten(-2), None, self.mask.to(torch.int32), bias),
            {"num_heads": heads},
            dtype=query.dtype,
            shape=(*query.shape[:-2], heads * size),
            version=1,
        )
        return seen.view(*query.shape)


def _far(far: Tensor) -> Tensor:
    return far.to(torch.float32) * OUT_OF_REACH
