"""The mean of several runs' weights: often a better judge than each of them, at the cost of one.

Model soups (Wortsman et al., arXiv 2203.05482): runs of one recipe that began from the same weights and differ in
their seed lie in one valley, so that the mean of their weights is a model, and errs less by chance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import Recipe, flat, load_recipe
from ..data import load_mixture
from ..errors import UserError
from ..model.base import hub_name, load_cloze_model
from ..model.checkpoint import METRICS, Checkpoint, open_checkpoint
from ..model.saving import save_checkpoint
from .batches import Feed
from .examples import encode
from .folder import RECIPE, deciding, write_recipe
from .materials import Watcher
from .validation import HeldOut, summary


def average(runs: Sequence[Path], target: Path, watcher: Watcher) -> dict[str, Any]:
    """Writes the mean of finished runs as a checkpoint, judged and calibrated on the rows that the first held out.

    Returns:
        Its held-out metrics, as `validation_metrics` gives them.

    Raises:
        UserError: fewer than two runs, runs of different recipes or of data that has changed, or `target` is taken.
    """
    if len(runs) < 2:
        raise UserError("an average wants two runs or more")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another folder or delete it")
    checkpoints = [open_checkpoint(run) for run in runs]
    recipes = [load_recipe(run / RECIPE) for run in runs]
    for run, recipe in zip(runs, recipes, strict=True):
        if differing := _differing(recipe, recipes[0]):
            raise UserError(
                f"{run} differs from {runs[0]} in {', '.join(differing)}: only runs of one recipe average well"
            )
    recipe = _named(recipes, target)
    mixture = load_mixture(recipe.data, recipe.data_seed, watcher.notice)
    for run in runs:
        told = json.loads((run / METRICS).read_text("utf-8"))["data"]
        if any(told[key] != mixture.facts[key] for key in ("train", "held_out", "sources")):
            raise UserError(f"the rows are no longer those of {run}: what it held out cannot be told")
    first = checkpoints[0]
    model = load_cloze_model(first)
    model.load_state_dict(_mean(checkpoints))
    ((kind, writer),) = first.writers().items()
    examples = encode(mixture.held_out, writer, general=1.0)
    held_out = HeldOut(mixture.held_out, Feed(examples, model.packs, writer.encoder.pad), kind)
    found = held_out.judge(model, 0, recipe.train.tokens_per_batch, torch.device("cpu"))
    watcher.notice(summary(found))
    metrics = {
        "name": recipe.name,
        "base": hub_name(recipe.model.base),
        "average_of": [str(run) for run in runs],
        "data": mixture.facts,
        "validation": held_out.best,
    }
    calibration = {kind: held_out.calibration}
    target.mkdir(parents=True, exist_ok=True)
    write_recipe(target / RECIPE, recipe)
    save_checkpoint(target, model, {kind: writer}, name=recipe.name, calibration=calibration, metrics=metrics)
    return found


def _differing(recipe: Recipe, other: Recipe) -> list[str]:
    """What may not differ: all that decides a model but the seed of the run."""
    one, two = (flat(deciding(each)) | {"data.seed": each.data_seed} for each in (recipe, other))
    return sorted(key for key in {*one, *two} - {"seed"} if one.get(key) != two.get(key))


def _named(recipes: Sequence[Recipe], target: Path) -> Recipe:
    """The recipe, with the name that all runs have, or that of the folder."""
    names = {recipe.name for recipe in recipes}
    return replace(recipes[0], name=names.pop() if len(names) == 1 else target.name, output=str(target))


def _mean(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        for name, tensor in load_cloze_model(checkpoint).state_dict().items():
            total[name] = total[name] + tensor if name in total else tensor.clone()
    return {
        name: tensor / len(checkpoints) if tensor.is_floating_point() else tensor // len(checkpoints)
        for name, tensor in total.items()
    }
