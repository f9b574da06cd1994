"""From a name to a model that judges."""

from __future__ import annotations

import importlib.util
import logging
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from ..errors import UserError
from ..model.checkpoint import CARD, CONFIG, MANIFEST, METRICS, ONNX, TOKENIZER, WEIGHTS, Checkpoint, open_checkpoint
from .engine import Backend
from .onnx_backend import OnnxBackend
from .reward_model import RewardModel

LOG = logging.getLogger("tinyrm")
DEFAULT = "tinyrm-mini"
"""The model inside the package."""
BackendName = Literal["auto", "onnx", "openvino", "openvino-int8", "torch", "torch-float32", "torch-bfloat16"]
BACKENDS = get_args(BackendName)


def load(
    name_or_path: str | Path | None = None, *, backend: BackendName = "auto", threads: int | None = None
) -> RewardModel:
    """Loads a reward model: the one that ships with the package, a checkpoint folder, or one of the Hub.

    backend: what computes, and in which numbers. `torch` is bfloat16 on a GPU and float32 elsewhere, where bfloat16
        was measured to be nine times slower; `torch-float32` and `torch-bfloat16` force either. `auto` is torch
        where the folder holds its weights and there is a GPU; else ONNX Runtime where it holds a `model.onnx`, which
        needs no torch; else torch. `openvino` runs the same file faster, `openvino-int8` faster still and less exactly;
        they start more slowly. The choice is logged (`tinyrm ... -v` prints it).
    threads: of the CPU that one call uses; one for each core if None. For torch it holds for the whole process.

    Raises:
        UserError: there is no such model, it is damaged, or its backend is not installed.
    """
    checkpoint = open_checkpoint(find(name_or_path))
    writers = checkpoint.writers()
    pad = next(iter(writers.values())).encoder.pad
    model = RewardModel(checkpoint.manifest, writers, _backend(checkpoint, backend, pad, threads))
    LOG.info("%s (%s): %s", checkpoint.manifest.name, ", ".join(writers), model.backend.describe())
    return model


def find(name_or_path: str | Path | None) -> Path:
    """The folder of a model, fetched from the Hub if it is neither ours nor a path."""
    if name_or_path is None or str(name_or_path) == DEFAULT:
        return Path(str(resources.files("tinyrm"))) / "assets" / DEFAULT
    path = Path(name_or_path)
    name = str(name_or_path)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        return path.expanduser()
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    files = [MANIFEST, TOKENIZER, CONFIG, WEIGHTS, ONNX, METRICS, CARD]  # never anything that could run
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as problem:
        reason = (str(problem).splitlines() or ["no answer"])[0]
        raise UserError(f"no folder {name} here, and the Hub does not give a model of that name: {reason}") from None


def _backend(checkpoint: Checkpoint, wanted: str, pad: int, threads: int | None) -> Backend:
    if wanted not in BACKENDS:
        raise UserError(f"unknown backend {wanted!r}: {', '.join(BACKENDS)}")
    if wanted.startswith(("onnx", "openvino")) and not checkpoint.has_onnx:
        raise UserError(f"{checkpoint.folder} holds no {ONNX}: `tinyrm export` makes one")
    if wanted.startswith("openvino"):
        from .openvino_backend import OpenVinoBackend

        return OpenVinoBackend(checkpoint.folder / ONNX, pad, int8=wanted.endswith("int8"), threads=threads)
    has_torch = WEIGHTS in checkpoint.manifest.files
    if wanted == "onnx" or (wanted == "auto" and checkpoint.has_onnx and not (has_torch and _has_gpu())):
        return OnnxBackend(checkpoint.folder / ONNX, pad, threads=threads)
    if not has_torch:
        raise UserError(f"{checkpoint.folder} holds no {WEIGHTS} for torch: leave the backend to onnx")
    from .torch_backend import TorchBackend

    dtypes: dict[str, Literal["float32", "bfloat16"]] = {"torch-float32": "float32", "torch-bfloat16": "bfloat16"}
    return TorchBackend.of(checkpoint, pad, dtype=dtypes.get(wanted), threads=threads)


def _has_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
