"""Reading a recipe: TOML plus `key=value` overrides, unknown keys and values out of bounds refused."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UserError, nearest, require
from .recipe import Recipe


def load_recipe(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Reads a TOML recipe and applies `key=value` overrides such as `train.lr=1e-4`.

    Raises:
        UserError: the file cannot be read, or a key or a value does not fit.
    """
    path, tomllib = Path(path), _tomllib()
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"no recipe at {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UserError(f"{path} is not a readable TOML recipe: {problem}") from None
    values.setdefault("name", path.stem)
    for override in overrides:
        _override(values, override)
    return recipe_from(values, str(path))


def recipe_from(values: Mapping[str, Any], where: str) -> Recipe:
    """A checked recipe from nested plain values; `where` names them in errors."""
    data = values.get("data")
    for key in ("train", "held_out"):
        if isinstance(data, dict) and key in data:
            data[key] = _sources(data[key])
    _refuse_unknown(Recipe, values, where, "")
    try:
        recipe = msgspec.convert(values, Recipe, strict=True)
    except msgspec.ValidationError as problem:
        raise UserError(f"{where}: {str(problem).replace('$.', '')}") from None
    _check(recipe, where)
    return recipe


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with dotted keys such as `train.lr`."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _override(values: dict[str, Any], override: str) -> None:
    tomllib = _tomllib()
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"an override is key=value, such as train.lr=1e-4, not {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UserError(f"override {override!r}: {parent!r} holds a value, not a table")
    values[last] = value


def _sources(named: Any) -> Any:
    """Sources may be one path or a list of paths, instead of tables with a `path`."""
    listed = [named] if isinstance(named, str) else named
    return (
        [{"path": item} if isinstance(item, str) else item for item in listed] if isinstance(listed, list) else listed
    )


def _tomllib() -> Any:
    return require("tomllib" if sys.version_info >= (3, 11) else "tomli", "train")


def _refuse_unknown(cls: type, values: Mapping[str, Any], where: str, prefix: str) -> None:
    """Names the first key that `cls` does not have; msgspec lets unknown keys of dataclasses pass."""
    hints = typing.get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            raise UserError(f"{where}: unknown key `{prefix}{key}`{nearest(key, hints)}")
        inner = _dataclass_in(hints[key])
        for item in value if isinstance(value, list) else [value]:
            if inner and isinstance(item, Mapping):
                _refuse_unknown(inner, item, where, f"{prefix}{key}.")


def _dataclass_in(hint: Any) -> type | None:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    if isinstance(hint, types.GenericAlias):
        return next((found for arg in typing.get_args(hint) if (found := _dataclass_in(arg))), None)
    return None


def _check(recipe: Recipe, where: str) -> None:
    data, prompt, model, warmup, train = recipe.data, recipe.prompt, recipe.model, recipe.warmup, recipe.train
    bounds: tuple[tuple[str, float, float, float], ...] = (
        *(
            (f"data.{key}.rows", source.rows, 1, 1e12)
            for key, sources in (("train", data.train), ("held_out", data.held_out))
            for source in sources
            if source.rows is not None
        ),
        ("data.validation", data.validation, 0.0, 0.9),
        ("data.validation_rows", data.validation_rows, 1, 1e9),
        *((f"data.made.{key}", n, 0, 1e9) for key, n in dataclasses.asdict(data.made).items() if isinstance(n, int)),
        ("data.made.neighbours_weak", data.made.neighbours_weak, 0.0, 1.0),
        ("prompt.max_length", prompt.max_length, 32, 65536),
        ("prompt.general", prompt.general, 0.0, 1.0),
        ("model.frozen", model.frozen, 0, 1000),
        ("model.head_scale", model.head_scale, 1e-6, 1e3),
        ("model.adapter.rank", model.adapter.rank, 1, 4096),
        ("warmup.tokens", warmup.tokens, 0, 1e13),
        ("warmup.lr", warmup.lr, 1e-12, 10),
        ("warmup.mask_rate", warmup.mask_rate, 0.01, 0.9),
        ("warmup.max_length", warmup.max_length, 16, 65536),
        ("train.epochs", train.epochs, 1e-6, 1e6),
        ("train.batch_size", train.batch_size, 1, 1e6),
        ("train.tokens_per_batch", train.tokens_per_batch, 1, 1e9),
        ("train.lr", train.lr, 1e-12, 10),
        *(("train.betas", beta, 0, 0.999999) for beta in train.betas),
        ("train.eps", train.eps, 1e-16, 1),
        ("train.weight_decay", train.weight_decay, 0, 10),
        ("train.warmup", train.warmup, 0, 1),
        ("train.final_lr", train.final_lr, 0, 1),
        ("train.clip", train.clip, 1e-9, 1e9),
        ("train.evaluations", train.evaluations, 1, 1e6),
        ("train.conditioned", train.conditioned, 0, 1e3),
        ("train.checkpoint_minutes", train.checkpoint_minutes, 0, 1e6),
        ("cache.budget_gb", recipe.cache.budget_gb, 0, 1e6),
        ("sweep.trials", recipe.sweep.trials, 1, 1e6),
        ("ablation.seeds", recipe.ablation.seeds, 1, 1000),
    )
    for key, value, low, high in bounds:
        if not low <= value <= high:
            raise UserError(f"{where}: {key} = {value:g} must lie between {low:g} and {high:g}")
