"""LoRA and DoRA adapters as PEFT keeps them: a folder of `adapter_config.json` and `adapter_model.safetensors`.

Both files are written and read here, without the `peft` package.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import mode
from typing import Annotated, Any, NoReturn

import msgspec
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..config import AdapterConfig
from ..errors import UserError
from .adapters import AdaptedLinear, adapt, adaptable, adapters
from .checkpoint import write_json
from .cloze_model import ClozeModel

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLE = "adapter_model.bin"
A, B, MAGNITUDE = "lora_A.weight", "lora_B.weight", "lora_magnitude_vector"
PREFIX = "base_model.model."
_KEY = re.compile(rf"{re.escape(PREFIX)}(.+)\.({re.escape(A)}|{re.escape(B)}|{MAGNITUDE})")
_BASE_UNCHANGED = ("gaussian", "eva", "orthogonal", "mica")
"""Ways to begin an adapter that leave the weight of the base as it is."""


_Rank = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class _Config(msgspec.Struct):
    """What decides an adapter's outcome, with PEFT's defaults."""

    r: _Rank = 8
    lora_alpha: float = 8
    use_dora: bool = False
    use_rslora: bool = False
    init_lora_weights: bool | str | None = True
    rank_pattern: dict[str, _Rank] | None = None
    alpha_pattern: dict[str, float] | None = None


_PLAIN = {"peft_type": "LORA", "bias": "none"}
_WITHOUT_EFFECT = {
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
}
"""Settings that change nothing once the tensors are known. Any other that is on, of a later PEFT too, is refused."""


def save_adapters(model: ClozeModel, folder: Path, base: str) -> None:
    """Writes the model's adapters so that `PeftModel.from_pretrained` puts them on the masked LM called `base`.

    A classifier in the decoder's place is no part of the masked LM, nor of what is written.

    Raises:
        ValueError: the model has no adapters.
    """
    parts = adapters(model)
    if not parts:
        raise ValueError("the model has no adapters to save")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{PREFIX}{path}.{name}": tensor for path, part in parts.items() for name, tensor in _stored(part).items()
    }
    partial = folder / f"{WEIGHTS}.partial"
    partial.write_bytes(save(tensors, metadata={"format": "pt"}))
    (folder / CONFIG).unlink(missing_ok=True)  # an older one would give these weights another scale
    partial.replace(folder / WEIGHTS)
    write_json(folder / CONFIG, _config_of(model.masked_lm, parts, base))


def load_adapters(model: ClozeModel, folder: Path) -> None:
    """Puts the adapters of a PEFT folder onto a model without any, which is frozen but for them.

    Raises:
        UserError: the folder is damaged, holds what is no LoRA or DoRA, or adapts a layer that has to stay as it is;
            then the model is as it was.
    """
    if adapters(model):
        raise ValueError("the model has adapters already")
    config, path = _read_config(folder), folder / WEIGHTS
    if not path.is_file():
        if (folder / PICKLE).exists():
            raise UserError(f"{folder / PICKLE} is a pickle, which can run code: save the adapter as {WEIGHTS}")
        raise UserError(f"{folder} lacks {WEIGHTS}: copy the whole folder again")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            configs = _targets(model, config, file, path)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None
    adapt(model, configs)
    with torch.no_grad():
        for target, part in adapters(model).items():
            part.a.copy_(tensors[f"{PREFIX}{target}.{A}"])
            part.b.copy_(tensors[f"{PREFIX}{target}.{B}"])
            if part.magnitude is not None:
                part.magnitude.copy_(tensors[f"{PREFIX}{target}.{MAGNITUDE}"])
                norms = _update_norms(part)
                part.magnitude.div_(torch.where(part.zero_row & (norms > 0), norms, 1.0))


def _stored(part: AdaptedLinear) -> dict[str, Tensor]:
    """The tensors of one adapter by PEFT's names."""
    if part.magnitude is None:
        return {A: part.a.detach(), B: part.b.detach()}
    # PEFT divides every row by its norm, we a row that is zero in W by 1. One that has not moved has no norm to be
    # divided by; at magnitude 0 any other direction does the same.
    norms = _update_norms(part)
    still = part.zero_row & (norms == 0)
    return {
        A: part.a.detach(),
        B: torch.where(still[:, None], 1.0, part.b.detach()),
        MAGNITUDE: part.magnitude.detach() * torch.where(part.zero_row, norms, 1.0),
    }


def _update_norms(part: AdaptedLinear) -> Tensor:
    """||s B A|| of each row [out]."""
    norms: Tensor = (part.scale * part.b.detach() @ part.a.detach()).norm(dim=1)
    return norms


def _config_of(masked_lm: nn.Module, parts: Mapping[str, AdaptedLinear], base: str) -> dict[str, Any]:
    ranks = {path: part.a.shape[0] for path, part in parts.items()}
    alphas = {path: _alpha(part.scale, part.a.shape[0]) for path, part in parts.items()}
    rank, alpha = mode(ranks.values()), mode(alphas.values())
    return {
        "peft_type": "LORA",
        "task_type": None,  # PEFT has none for masked LMs; it finds the class by the mapping
        "auto_mapping": {
            "base_model_class": type(masked_lm).__name__,
            "parent_library": type(masked_lm).__module__,
        },
        "base_model_name_or_path": base,
        "inference_mode": True,
        "target_modules": sorted(parts),
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {re.escape(path): other for path, other in ranks.items() if other != rank},
        "alpha_pattern": {re.escape(path): other for path, other in alphas.items() if other != alpha},
        "use_dora": any(part.magnitude is not None for part in parts.values()),
        "use_rslora": False,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
    }


def _alpha(scale: float, rank: int) -> float:
    """The alpha of which alpha / rank is the scale: the short number where one is."""
    short = float(f"{scale * rank:.12g}")
    alpha = short if short / rank == scale else scale * rank
    return int(alpha) if alpha.is_integer() else alpha


def _read_config(folder: Path) -> _Config:
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is no PEFT adapter: it has no {CONFIG}")
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        _refuse_beyond_plain(values, path)
        config = msgspec.convert(values, _Config)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UserError(f"{path} is damaged: {problem}") from None
    way = config.init_lora_weights
    if isinstance(way, str) and way.lower() not in _BASE_UNCHANGED:
        raise UserError(
            f"{path}: an adapter that began as {way[:80]!r} changes the weights of its base; save it in PEFT with "
            f"`path_initial_model_for_weight_conversion`, which makes a plain LoRA of it"
        )
    return config


def _refuse_beyond_plain(values: Mapping[str, Any], path: Path) -> None:
    known = _WITHOUT_EFFECT.union(_Config.__struct_fields__)
    for key, value in ({"peft_type": None, "bias": "none"} | dict(values)).items():
        if value != _PLAIN[key] if key in _PLAIN else value and key not in known:
            raise UserError(f"{path}: TinyRM reads plain LoRA and DoRA of linear layers, not {key} = {value!r:.80}")


def _targets(model: ClozeModel, config: _Config, file: Any, path: Path) -> dict[str, AdapterConfig]:
    """The layers that a file adapts and how, once its header shows every tensor there and of the right shape."""
    keys, linear = set(file.keys()), adaptable(model)
    configs: dict[str, AdapterConfig] = {}
    shapes: dict[str, list[int]] = {}
    for target in sorted({match[1] for match in map(_KEY.fullmatch, keys) if match}):
        if target not in linear:
            _refuse(model, target, path)
        rank = _of(config.rank_pattern, target, config.r)
        alpha = _of(config.alpha_pattern, target, config.lora_alpha) * (math.sqrt(rank) if config.use_rslora else 1)
        configs[target] = AdapterConfig("dora" if config.use_dora else "lora", rank, alpha)
        shapes[f"{PREFIX}{target}.{A}"] = [rank, linear[target].in_features]
        shapes[f"{PREFIX}{target}.{B}"] = [linear[target].out_features, rank]
        if config.use_dora:
            shapes[f"{PREFIX}{target}.{MAGNITUDE}"] = [linear[target].out_features]
    if keys - shapes.keys():
        kind = "DoRA" if config.use_dora else "LoRA"
        raise UserError(f"{path} holds {min(keys - shapes.keys())}, which is no part of a {kind} of a linear layer")
    if not shapes or shapes.keys() - keys:
        raise UserError(f"{path} lacks {min(shapes.keys() - keys, default='any adapter')}")
    for key, shape in shapes.items():
        held = file.get_slice(key)
        if held.get_shape() != shape or held.get_dtype() not in ("F64", "F32", "F16", "BF16"):
            raise UserError(f"{path}: {key} is {held.get_dtype()} {held.get_shape()}, not floating point {shape}")
    return configs


def _of(patterns: Mapping[str, Any] | None, target: str, default: Any) -> Any:
    """What is set for a layer by the first pattern that its name, or the end of it, matches; as in PEFT."""
    for pattern, value in (patterns or {}).items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", target):
                return value
        except (re.error, OverflowError, RecursionError) as problem:
            raise UserError(f"{CONFIG}: {pattern[:80]!r} is no pattern of layers' names: {problem}") from None
    return default


def _refuse(model: ClozeModel, target: str, path: Path) -> NoReturn:
    """Says why a layer that a folder adapts is not adapted here."""
    found = dict(model.masked_lm.named_modules()).get(target)
    if found is not None and found is model.masked_lm.get_output_embeddings():
        reason = "the decoder, tied to the embeddings: a merge would corrupt them"
    elif not isinstance(found, nn.Linear):
        reason = f"no linear layer of this model ({model.masked_lm.config.model_type}): is it of another base?"
    else:
        reason = f"not above the frozen layers (model.frozen = {model.frozen})"
    raise UserError(f"{path} adapts {target}, which is {reason}")
