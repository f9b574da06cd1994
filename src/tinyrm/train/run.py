"""One training run, from a recipe to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import Recipe
from ..errors import require
from ..model.adapters import add_adapters
from ..model.base import adopt_head, hub_name
from ..model.cloze_model import ClozeModel
from ..model.prefix_cache import cached_prefix
from ..types import Preference
from .batches import Feed
from .examples import Examples
from .folder import RunFolder
from .loop import Fitted, Keeping, Step, fit
from .materials import Materials, Silent, Watcher, template_of
from .objectives import objective_of
from .precision import in_bfloat16
from .trackers import Trackers
from .validation import HeldOut, summary


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    folder: where the checkpoint is, None if the run kept nothing. best: held-out metrics of the best
    step, as `validation_metrics` gives them, with `step`. logits [n]: log-odds at that step that the
    chosen response is better, for each of `held_out`. training: true counts of the run.
    """

    folder: Path | None
    best: dict[str, Any]
    logits: np.ndarray
    held_out: Sequence[Preference]
    training: dict[str, Any]


def train(
    recipe: Recipe,
    watcher: Watcher,
    *,
    overwrite: bool = False,
    keep: bool = True,
    materials: Materials | None = None,
    on_validation: Callable[[int, dict[str, Any]], None] = lambda step, metrics: None,
) -> Outcome:
    """Runs a recipe; what it makes is the model of the step that judged the held-out rows best.

    A run that was killed goes on from its last state, and ends with the weights that it would have had.

    overwrite: replace a finished model in the recipe's folder, or an unfinished run of another recipe.
    keep: write the checkpoint to that folder; a trial of a search keeps nothing.
    materials: what runs of one process share. on_validation: told the step and the held-out
        metrics; what it raises ends the run.

    Raises:
        UserError: the recipe, its data or its base model cannot be used, the folder is taken, or
            the disk is full.
    """
    require("accelerate", "train")
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    objective_of(recipe.prompt.template, recipe.train)
    template_of(recipe)  # both fail before any data is read
    trackers = Trackers(recipe, keeps=keep)
    set_seed(recipe.seed)
    accelerator = Accelerator(mixed_precision="no")  # `half` is what decides, and may differ between trials
    device = accelerator.device
    half = in_bfloat16(recipe.train.precision, device)
    watcher = watcher if accelerator.is_main_process else Silent()
    if recipe.train.precision == "bfloat16" and not half:
        watcher.notice("this machine has no AVX-512 or AMX instructions for bfloat16: float32 it is")
    folder = RunFolder(recipe, keeps=keep, writes=keep and accelerator.is_main_process, overwrite=overwrite)

    materials = materials or Materials()
    base, warm_facts = materials.base(recipe, watcher, device, folder)
    mixture = materials.mixture(recipe, watcher)
    watcher.notice(f"{len(mixture.train):,} preferences to train on, {len(mixture.held_out):,} held out")
    writer, examples, held_out_examples = materials.examples(recipe, base, watcher)
    model = ClozeModel(base.masked_lm, writer.word_ids, recipe.model.frozen, recipe.model.head).to(device)
    adopt_head(model, recipe.model.base)
    add_adapters(model, recipe.model.adapter)
    facts: dict[str, Any] = {
        "name": recipe.name,
        "base": hub_name(recipe.model.base),
        "seed": recipe.seed,
        "data": mixture.facts,
        **warm_facts,
    }
    # A head made ready here is part of what the adapters need, and is nowhere to be had: only the merged weights serve.
    adapters_of = None if base.fresh_head else hub_name(recipe.model.base)
    size = {
        "parameters": sum(p.numel() for p in base.masked_lm.parameters()),
        "learning": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "cut_to_fit": examples.cut,
    }

    def feed(read: Examples, label: str) -> Feed:
        below = None
        if recipe.cache.prefix and model.frozen:
            shown = partial(watcher.progress, f"keeping the frozen layers' states of {label} pairs")
            below = cached_prefix(model, read.ids, read.starts, recipe.cache, device, shown)
        return Feed(read, model.packs, base.encoder.pad, below)

    held_out = HeldOut(mixture.held_out, feed(held_out_examples, "held-out"), recipe.prompt.template)
    accelerator.wait_for_everyone()  # none looks for a finished model after another has begun
    saved = folder.begin(examples)
    start = Fitted()
    if saved:
        start = Fitted(**saved.facts["fitted"])
        held_out.best, held_out.logits = saved.facts["best"], saved.tensors["best_logits"].numpy()
        watcher.notice(f"going on from step {start.steps}")

    with trackers.start(accelerator):

        def on_step(step: Step) -> None:
            rate = step.tokens / max(step.seconds, 1e-9)
            watcher.progress("training", step.step, step.steps, f"loss {step.loss:.3f}  {rate:,.0f} tokens/s")
            trackers.log(asdict(step), step.step)
            folder.log(step)

        def validate(wrapped: Any, step: int) -> dict[str, Any]:
            # As the model is judged with later: on a CPU in float32.
            found = held_out.judge(wrapped, step, recipe.train.tokens_per_batch, device, half and device.type == "cuda")
            watcher.notice(f"step {step}: {summary(found)}")
            trackers.log({"held_out": found}, step)
            if held_out.best["step"] == step:
                metrics = {**facts, "training": size, "validation": held_out.best}
                folder.save_best(step, model, writer, held_out.calibration, metrics, adapters_of)
            on_validation(step, found)
            return found

        def keep_state(tensors: dict[str, torch.Tensor], fitted: Fitted) -> None:
            folder.save_state(tensors, fitted, held_out.best, held_out.logits)

        keeping = Keeping(recipe.train.checkpoint_minutes, keep_state, start, saved.tensors if saved else None)
        fitted = fit(
            model,
            feed(examples, "training"),
            recipe.prompt.template,
            recipe.train,
            seed=recipe.seed,
            accelerator=accelerator,
            on_step=on_step,
            validate=validate,
            keeping=keeping if keep else None,
            half=half,
        )
    counts = asdict(fitted)
    history = counts.pop("history")
    training = {**size, **counts}
    folder.finish({**facts, "training": training, "validation": held_out.best, "history": history})
    watcher.notice(f"best at step {held_out.best['step']}: {summary(held_out.best)}")
    return Outcome(recipe.folder if keep else None, held_out.best, held_out.logits, held_out.rows, training)
