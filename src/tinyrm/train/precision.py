"""In what arithmetic a run multiplies."""

from __future__ import annotations

from typing import Literal

import torch


def in_bfloat16(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Whether products are to be in bfloat16: on a GPU unless float32 is wanted, on a CPU only where it can."""
    if device.type == "cuda":
        return wanted != "float32"
    return wanted == "bfloat16" and device.type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    """Without instructions for it bfloat16 is emulated: nine times as slow as float32 on AVX2."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
