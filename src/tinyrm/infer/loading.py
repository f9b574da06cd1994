"""From a name to a model that judges."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..model.checkpoint import CARD, CONFIG, MANIFEST, METRICS, ONNX, TOKENIZER, WEIGHTS, Checkpoint, open_checkpoint
from .engine import Backend
from .onnx_backend import OnnxBackend
from .reward_model import RewardModel

DEFAULT = "tinyrm-mini"
"""The model inside the package."""


def load(name_or_path: str | Path | None = None, *, backend: Literal["auto", "onnx", "torch"] = "auto") -> RewardModel:
    """Loads a reward model: the one that ships with the package, a checkpoint folder, or one of the Hub.

    backend: `auto` takes ONNX Runtime where the folder holds a `model.onnx`, else torch.

    Raises:
        UserError: there is no such model, it is damaged, or its backend is not installed.
    """
    checkpoint = open_checkpoint(find(name_or_path))
    writers = checkpoint.writers()
    pad = next(iter(writers.values())).encoder.pad
    return RewardModel(checkpoint.manifest, writers, _backend(checkpoint, backend, pad))


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


def _backend(checkpoint: Checkpoint, wanted: str, pad: int) -> Backend:
    if wanted not in ("auto", "onnx", "torch"):
        raise UserError(f"unknown backend {wanted!r}: auto, onnx or torch")
    if wanted == "onnx" and not checkpoint.has_onnx:
        raise UserError(f"{checkpoint.folder} holds no {ONNX}: `tinyrm export` makes one")
    if wanted != "torch" and checkpoint.has_onnx:
        return OnnxBackend(checkpoint.folder / ONNX, pad)
    if WEIGHTS not in checkpoint.manifest.files:
        raise UserError(f"{checkpoint.folder} holds no {WEIGHTS} for torch: leave the backend to onnx")
    from .torch_backend import TorchBackend

    return TorchBackend.of(checkpoint, pad)
