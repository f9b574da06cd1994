"""One training run, from a recipe to a checkpoint folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from ..config import Recipe
from ..data import load_mixture
from ..errors import UserError, require
from ..model.adapters import add_adapters
from ..model.base import Base, hub_name, load_base, quieten_head
from ..model.calibration import Calibration, fit_temperature
from ..model.card import model_card
from ..model.checkpoint import CARD, MANIFEST, METRICS, Manifest, write_json
from ..model.cloze_model import ClozeModel
from ..model.families import family_of
from ..model.saving import save_checkpoint
from ..prompt import ClozeWriter, builtin
from ..types import Preference
from .examples import encode
from .loop import Step, fit, judge
from .objectives import preference_logit
from .validation import summary, validation_metrics
from .warmup import warm_up

FEWEST_TO_CALIBRATE = 100
"""Held-out pairs below which a temperature would be fitted to chance."""
LOG = "log.jsonl"
RECIPE = "recipe.toml"


class Watcher(Protocol):
    """Whoever shows a run to people: the command line draws bars on a terminal and prints lines elsewhere."""

    def notice(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None: ...


class Silent:
    """Shows nothing: the processes beside the main one."""

    def notice(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None: ...


def train(recipe: Recipe, watcher: Watcher, *, overwrite: bool = False) -> Path:
    """Runs a recipe and returns the folder with the checkpoint that judged the held-out rows best.

    Raises:
        UserError: the recipe, its data or its base model cannot be used, or the folder is taken.
    """
    require("accelerate", "train")
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    folder = recipe.folder
    if (folder / MANIFEST).exists() and not overwrite:
        raise UserError(f"{folder} holds a finished model: choose another output=..., or --overwrite it")
    set_seed(recipe.seed)
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    main = accelerator.is_main_process
    watcher = watcher if main else Silent()

    base = load_base(recipe.model.base)
    writer = _writer(recipe, base)
    kind = recipe.prompt.template
    mixture = load_mixture(recipe.data, recipe.seed, watcher.notice)
    if not mixture.held_out:
        raise UserError("no prompt is left to validate on: raise data.validation or add rows")
    watcher.notice(f"{len(mixture.train):,} preferences to train on, {len(mixture.held_out):,} held out")
    facts: dict[str, Any] = {
        "name": recipe.name,
        "base": hub_name(recipe.model.base),
        "seed": recipe.seed,
        "data": mixture.facts,
    }
    if main:
        folder.mkdir(parents=True, exist_ok=True)
        _write_recipe(folder / RECIPE, recipe)

    if base.fresh_head:
        facts |= _ready_head(base, recipe, mixture.train, accelerator, watcher)
    model = ClozeModel(base.masked_lm, writer.word_ids, recipe.model.frozen).to(accelerator.device)
    add_adapters(model, recipe.model.adapter)
    examples = encode(
        mixture.train,
        writer,
        general=recipe.prompt.general,
        seed=recipe.seed,
        progress=partial(watcher.progress, "reading training pairs"),
    )
    # Judged as it will be used by callers who name no domain.
    held_out = encode(
        mixture.held_out, writer, general=1.0, progress=partial(watcher.progress, "reading held-out pairs")
    )
    facts["training"] = {
        "parameters": sum(p.numel() for p in base.masked_lm.parameters()),
        "learning": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "cut_to_fit": examples.cut,
    }
    best: dict[str, Any] = {"score": -1.0, "log_loss": 0.0}
    saved: list[Manifest] = []

    def validate(step: int) -> dict[str, Any]:
        odds = judge(model, held_out, base.encoder.pad, recipe.train.tokens_per_batch, accelerator.device)
        logits = preference_logit(odds, kind)
        found = validation_metrics(logits, mixture.held_out)
        watcher.notice(f"step {step}: {summary(found)}")
        if (found["score"], -found["log_loss"]) > (best["score"], -best["log_loss"]):
            best.update(found, step=step)
            offset = float(odds.mean()) if kind == "single" else 0.0
            enough = len(logits) >= FEWEST_TO_CALIBRATE
            calibration = Calibration(fit_temperature(logits, held_out.target) if enough else 1.0, offset)
            if main:
                manifest = save_checkpoint(
                    folder,
                    model,
                    {kind: writer},
                    name=recipe.name,
                    calibration={kind: calibration},
                    metrics={**facts, "validation": best},
                )
                saved[:] = [manifest]
        return found

    on_step = _recorder(folder / LOG, watcher) if main else lambda step: None
    fitted = fit(
        model,
        examples,
        kind,
        base.encoder.pad,
        recipe.train,
        seed=recipe.seed,
        accelerator=accelerator,
        on_step=on_step,
        validate=validate,
    )
    facts["training"] |= asdict(fitted)
    facts["training"].pop("history")
    if main:  # what only the end knows; weights and manifest stay those of the best step
        metrics = {**facts, "validation": best, "history": fitted.history}
        write_json(folder / METRICS, metrics)
        (folder / CARD).write_text(model_card(saved[0], metrics), "utf-8")
    watcher.notice(f"best at step {best['step']}: {summary(best)}")
    return folder


def _writer(recipe: Recipe, base: Base) -> ClozeWriter:
    """The writer of the recipe's clozes, none longer than the base can read."""
    limit = family_of(base.masked_lm).longest()
    for key, asked in (("prompt", recipe.prompt.max_length), ("warmup", recipe.warmup.max_length)):
        if asked > limit:
            raise UserError(f"{key}.max_length = {asked}, but {recipe.model.base} reads at most {limit} tokens")
    prompt = recipe.prompt
    return ClozeWriter(base.encoder, builtin(prompt.template, prompt.slot, prompt.max_length, prompt.instruction))


def _ready_head(
    base: Base, recipe: Recipe, preferences: Sequence[Preference], accelerator: Any, watcher: Watcher
) -> dict[str, float]:
    """Prepares an MLM head that came untrained: warmed up if the recipe says so, and quietened."""
    facts = {}
    if recipe.warmup.tokens:
        facts["warmup_loss"] = warm_up(
            base.masked_lm,
            preferences,
            base.encoder,
            recipe.warmup,
            seed=recipe.seed,
            device=accelerator.device,
            on_step=lambda at, steps, loss: watcher.progress("warming up the head", at, steps, f"loss {loss:.2f}"),
        )
    quieten_head(base.masked_lm, recipe.model.head_scale)
    return facts


def _recorder(path: Path, watcher: Watcher) -> Callable[[Step], None]:
    """Shows each step and appends it to the run's log."""
    path.unlink(missing_ok=True)

    def record(step: Step) -> None:
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(step)) + "\n")
        rate = step.tokens / max(step.seconds, 1e-9)
        watcher.progress("training", step.step, step.steps, f"loss {step.loss:.3f}  {rate:,.0f} tokens/s")

    return record


def _write_recipe(path: Path, recipe: Recipe) -> None:
    """The resolved recipe, defaults and overrides included."""
    import tomli_w

    path.write_text(tomli_w.dumps(_without_none(asdict(recipe))), "utf-8")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value
