"""torch: for checkpoints just trained, and for GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import UserError, require
from ..model.checkpoint import Checkpoint
from .engine import TOKENS_PER_BATCH

if TYPE_CHECKING:
    from ..model.cloze_model import ClozeModel

GPU_TOKENS_PER_BATCH = 65536


class TorchBackend:
    """Runs the masked LM of a checkpoint: bfloat16 on a GPU, float32 elsewhere, unless `dtype` says which."""

    name = "torch"

    def __init__(
        self,
        model: ClozeModel,
        pad: int,
        device: str | None = None,
        dtype: Literal["float32", "bfloat16"] | None = None,
    ) -> None:
        torch = require("torch", "train")
        self._torch = torch
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._dtype = dtype or ("bfloat16" if self._device.type == "cuda" else "float32")
        self.computes = f"torch on {self._device.type}, {self._dtype}"
        self._model = model.to(self._device).eval()
        self.pad = pad
        self.tokens_per_batch = GPU_TOKENS_PER_BATCH if self._device.type == "cuda" else TOKENS_PER_BATCH

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        pad: int,
        dtype: Literal["float32", "bfloat16"] | None = None,
        threads: int | None = None,
    ) -> TorchBackend:
        """Loads the weights of a checkpoint.

        Raises:
            UserError: torch or transformers are not installed, or a weight is missing.
        """
        try:
            torch = require("torch", "train")
            require("transformers", "train")
        except UserError as missing:
            raise UserError(f"{missing}; or `tinyrm export` the model where it is, and use that here") from None
        from ..model.base import load_cloze_model

        if threads is not None:
            torch.set_num_threads(threads)
        return cls(load_cloze_model(checkpoint), pad, dtype=dtype)

    def describe(self) -> str:
        threads = f", {self._torch.get_num_threads()} threads" if self._device.type == "cpu" else ""
        return f"torch {self._torch.__version__} on {self._device.type}, {self._dtype}{threads}"

    def logits(self, ids: np.ndarray, mask: np.ndarray, slot: np.ndarray) -> np.ndarray:
        torch, device = self._torch, self._device
        from ..model.layout import lay_out

        real = mask.astype(bool)
        tokens, layout = lay_out(ids[real], real.sum(axis=1), slot, packs=self._model.packs, pad=self.pad)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self._dtype == "bfloat16"):
            out = self._model(tokens.to(device), layout.to(device))
        return np.asarray(out.float().cpu().numpy())
