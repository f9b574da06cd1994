"""OpenVINO: the fastest of the backends on Intel's and AMD's CPUs; an extra."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UserError, require
from .engine import TOKENS_PER_BATCH

GROUP = 32
"""Numbers of a state that share a scale where states are rounded to int8."""


class OpenVinoBackend:
    """Runs `model.onnx`.

    int8: multiply in 8-bit integers, for a model whose weights are stored so; else float32 decides everything.
    """

    name = "openvino"

    def __init__(self, path: Path, pad: int, *, int8: bool = False, threads: int | None = None) -> None:
        openvino = require("openvino", "openvino")
        self._version = openvino.__version__.partition("-")[0]
        self.computes = f"OpenVINO, {'int8' if int8 else 'float32'}"
        # By itself it takes fewer bits than float32 wherever it finds that faster.
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(GROUP if int8 else 0),
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(threads or 0),  # 0: one for each core
        }
        try:
            self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        except RuntimeError as problem:
            raise UserError(f"{path} cannot be loaded by OpenVINO: {str(problem).strip().splitlines()[-1]}") from None
        self.pad = pad
        self.tokens_per_batch = TOKENS_PER_BATCH

    def describe(self) -> str:
        return f"OpenVINO {self._version} on the CPU, {self.computes.split()[-1]} arithmetic"

    def logits(self, ids: np.ndarray, mask: np.ndarray, slot: np.ndarray) -> np.ndarray:
        # A request of its own for each call: one must not be shared by threads.
        request = self._model.create_infer_request()
        return np.array(request.infer({"ids": ids, "mask": mask, "slot": slot})[0], dtype=np.float32)
