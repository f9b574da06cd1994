"""The mean of several runs' weights: often a better judge than each of them, at the cost of one.

Model soups (Wortsman et al., arXiv 2203.05482): runs of one recipe that began from the same weights and differ in
their seed lie in one valley, so that the mean of their weights is a model, and errs less by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import load_recipe
from ..data import load_mixture
from ..errors import UserError
from ..model.base import hub_name, load_cloze_model
from ..model.checkpoint import Checkpoint, Manifest, open_checkpoint
from ..model.saving import save_checkpoint
from .batches import Feed
from .examples import encode
from .folder import RECIPE, write_recipe
from .materials import Watcher
from .validation import HeldOut, summary


def average(runs: Sequence[Path], target: Path, watcher: Watcher) -> dict[str, Any]:
    """Writes the mean of finished runs as a checkpoint, judged and calibrated on the rows that the first held out.

    Returns:
        Its held-out metrics, as `validation_metrics` gives them.

    Raises:
        UserError: fewer than two runs, runs of different shape or data, or `target` is taken.
    """
    if len(runs) < 2:
        raise UserError("an average wants two runs or more")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already: choose another folder or delete it")
    checkpoints = [open_checkpoint(run) for run in runs]
    recipes = [load_recipe(str(run / RECIPE)) for run in runs]
    for run, checkpoint, recipe in zip(runs, checkpoints, recipes, strict=True):
        if _shape(checkpoint.manifest) != _shape(checkpoints[0].manifest) or recipe.data != recipes[0].data:
            raise UserError(f"{run} is no run of the same recipe as {runs[0]}: their templates, heads or data differ")
    recipe, first = recipes[0], checkpoints[0]
    model = load_cloze_model(first)
    model.load_state_dict(_mean(checkpoints))
    mixture = load_mixture(recipe.data, recipe.data_seed, watcher.notice)
    ((kind, writer),) = first.writers().items()
    held_out = HeldOut(
        mixture.held_out, Feed(encode(mixture.held_out, writer, general=1.0), model.packs, writer.encoder.pad), kind
    )
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
    save_checkpoint(target, model, {kind: writer}, name=recipe.name, calibration=calibration, metrics=metrics)
    write_recipe(target / RECIPE, recipe)
    return found


def _mean(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        for name, tensor in load_cloze_model(checkpoint).state_dict().items():
            total[name] = total[name] + tensor if name in total else tensor.clone()
    return {
        name: tensor / len(checkpoints) if tensor.is_floating_point() else tensor // len(checkpoints)
        for name, tensor in total.items()
    }


def _shape(manifest: Manifest) -> tuple[Any, ...]:
    """What must be equal for two models' weights to mean the same."""
    return manifest.templates, manifest.word_ids, manifest.special, manifest.head
