"""The state of a run on disk: one file, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..model.cloze_model import whole


@dataclass(frozen=True)
class Saved:
    """Tensors by name, and plain values."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes both into one file; a crash or a full disk leaves the old one as it was.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with partial.open("wb") as file:
            file.write(save(plain, metadata={"facts": json.dumps(facts)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_state(path: Path) -> Saved | None:
    """What `write_state` wrote, None if there is nothing whole."""
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            # Copied: a mapped file gives tensors that lie unaligned, whose sums may round otherwise.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return Saved(tensors, json.loads(file.metadata()["facts"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def snapshot(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What a run changes: the parameters that learn, and the optimiser's moments, whole also where they are sharded."""
    tensors = {}
    for name, parameter in _learning(model).items():
        tensors[f"parameter.{name}"] = whole(parameter)
        for moment, value in optimiser.state[parameter].items():
            tensors[f"{moment}.{name}"] = whole(torch.as_tensor(value))
    return tensors


@torch.no_grad()
def restore(model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts a snapshot back."""
    for name, parameter in _learning(model).items():
        _put(parameter, tensors[f"parameter.{name}"])
        for moment in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors[f"{moment}.{name}"].clone()
            if moment != "step":
                value = _put(torch.zeros_like(parameter), value)
            optimiser.state[parameter][moment] = value


def _learning(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _put(target: Any, value: Tensor) -> Tensor:
    """Copies into a tensor, or into this process's shard of it."""
    if hasattr(target, "full_tensor"):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    target.copy_(value)
    copied: Tensor = target
    return copied
