"""What each ingredient of a recipe is worth: the recipe trained beside its variants, seed by seed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import Recipe
from ..errors import UserError, require
from ..evaluate.table import percent
from ..model.base import layers_of
from ..train.materials import Materials, Watcher
from ..train.run import train
from .ablation import Ablation, compare
from .ablation_plot import plot
from .ablation_runs import RECIPE, Run, append_run, digest_of_recipe, digest_of_rows, finished_runs
from .ablation_table import to_csv, to_markdown
from .files import written_at_once
from .ingredients import variants, with_values

RUNS = "runs.jsonl"
CSV = "ablation.csv"
MARKDOWN = "ablation.md"
PLOT = "ablation.png"


def ablate(recipe: Recipe, watcher: Watcher) -> Ablation:
    """Trains the recipe and each of its variants with the seeds recipe.seed, recipe.seed + 1, ...

    All runs learn from the same rows and are judged on the same held-out pairs. Each is kept in the recipe's
    folder as it finishes, and the tables there are renewed with every seed; called again, the study goes on
    where it was stopped. A variant that cannot be trained is told as failed, and the others go on.

    Raises:
        UserError: the recipe itself cannot be trained, it has no such ingredient, or the folder holds the
            runs of another recipe or of other rows.
    """
    require("accelerate", "train")
    recipe = with_values(recipe, {"data.seed": recipe.data_seed})
    materials = Materials()
    mixture = materials.mixture(recipe, watcher)
    if all(preference.tie for preference in mixture.held_out):
        raise UserError("every held-out pair is labelled a tie: there is nothing to be right or wrong about")
    others = variants(recipe, layers_of(recipe.model.base), recipe.ablation.ingredients)
    tried = {RECIPE: (recipe, {}), **{variant.name: (variant.recipe, variant.overrides) for variant in others}}
    seeds = range(recipe.seed, recipe.seed + recipe.ablation.seeds)

    folder = recipe.folder
    folder.mkdir(parents=True, exist_ok=True)
    digests = digest_of_recipe(recipe), digest_of_rows(mixture)
    runs = finished_runs(folder / RUNS, *digests)
    drawn = importlib.util.find_spec("matplotlib") is not None
    if not drawn:
        watcher.notice(f"{PLOT} is left out: it needs matplotlib, pip install 'tinyrm[report]'")
    done = 0
    for i, seed in enumerate(seeds):
        for name, (variant, overrides) in tried.items():
            if (name, seed) not in runs or runs[name, seed].overrides != overrides:
                run = Run(name, seed, *digests, overrides=dict(overrides))
                run = runs[name, seed] = _trained(run, replace(variant, seed=seed), materials, watcher)
                if run.failed is not None and name == RECIPE:
                    raise UserError(run.failed)
                append_run(folder / RUNS, run)
                watcher.notice(_line(run))
            done += 1
            watcher.progress("runs", done, len(tried) * len(seeds), f"{name}, seed {seed}")
        ablation = compare(recipe.name, others, seeds[: i + 1], runs, mixture.held_out)
        _publish(ablation, folder, drawn)
    return ablation


class _Progress:
    """Passes on how far a run is, not the notices of every run."""

    def __init__(self, watcher: Watcher) -> None:
        self.progress = watcher.progress

    def notice(self, text: str) -> None: ...


def _trained(run: Run, recipe: Recipe, materials: Materials, watcher: Watcher) -> Run:
    try:
        outcome = train(recipe, _Progress(watcher), keep=False, materials=materials)
    except UserError as mistake:
        return replace(run, failed=str(mistake))
    if not np.isfinite(outcome.logits).all():
        return replace(run, failed=f"held-out logits are no numbers: lower train.lr (now {recipe.train.lr:g})")
    return replace(
        run,
        **{name: outcome.best[name] for name in ("score", "accuracy", "log_loss", "step")},
        seconds=round(outcome.training["seconds"], 3),
        logits=tuple(float(f"{logit:.5g}") for logit in outcome.logits),
    )


def _line(run: Run) -> str:
    figures = f"accuracy {percent(run.accuracy)}%, log loss {run.log_loss:.3f}, {run.seconds:.0f} s"
    return f"{run.variant}, seed {run.seed}: {figures if run.failed is None else f'failed: {run.failed}'}"


def _publish(ablation: Ablation, folder: Path, drawn: bool) -> None:
    """Writes tables and picture so that a crash leaves the old file or the new one."""
    if drawn:
        with written_at_once(folder / PLOT) as path:
            plot(ablation, path)
    for name, text in ((CSV, to_csv(ablation)), (MARKDOWN, to_markdown(ablation, PLOT if drawn else None))):
        with written_at_once(folder / name) as path:
            path.write_text(text, "utf-8")
