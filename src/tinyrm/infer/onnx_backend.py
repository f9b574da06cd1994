"""ONNX Runtime: the backend of the core install."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError
from .engine import TOKENS_PER_BATCH


class OnnxBackend:
    """Runs `model.onnx`, whose inputs are ids, mask and slot."""

    name = "onnx"
    computes = "ONNX Runtime, float32"

    def __init__(self, path: Path, pad: int, *, threads: int | None = None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or 0  # 0: one for each core
        # Weights stored as int8 become float32 once, at load, instead of in every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime raises a family of its own without a common base
            raise UserError(f"{path} cannot be loaded by ONNX Runtime: {str(problem).splitlines()[0]}") from None
        self.pad = pad
        self.tokens_per_batch = TOKENS_PER_BATCH

    def describe(self) -> str:
        import onnxruntime as ort

        return f"ONNX Runtime {ort.__version__} on the CPU"

    def logits(self, ids: np.ndarray, mask: np.ndarray, slot: np.ndarray) -> np.ndarray:
        (out,) = self._session.run(None, {"ids": ids, "mask": mask, "slot": slot})
        return np.asarray(out, dtype=np.float32)
