"""The search for a recipe: trials are judged on held-out training pairs, and the best becomes a recipe of its own."""

from __future__ import annotations

import csv
import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from ..config import Recipe, SweepConfig
from ..errors import UserError
from ..train.folder import write_recipe
from ..train.materials import Materials, Watcher
from .files import written_at_once
from .ingredients import with_values
from .space import Axis, short_names, shortened, space_of, suggest
from .trials import best_of, finished, open_study, quiet_optuna, score_of, work
from .workers import work_together

BEST = "best.toml"
TRIALS = "trials.csv"
IMPORTANCE = "importance.png"
PARALLEL = "parallel.png"


def sweep(recipe: Recipe, watcher: Watcher, *, workers: int = 1) -> Path:
    """Searches the recipe's space until the study in its folder holds `recipe.sweep.trials` finished trials.

    Called again, it goes on; called elsewhere at the same time, it joins in. Returns the path of the best
    recipe; beside it stand the study, a table of its trials and plots.

    workers: processes on this machine, each with its share of the cores.

    Raises:
        UserError: the recipe, its space or its data cannot be used, the folder holds another sweep, or no
            trial came to an end.
    """
    recipe = with_values(recipe, {"data.seed": recipe.data_seed})
    space = space_of(recipe)
    materials = Materials()
    with quiet_optuna():
        materials.mixture(recipe, watcher)  # a mistake in the data ends the sweep, not its trials one by one
        teller = Teller(open_study(recipe, space), recipe, space, watcher)
        if recipe.sweep.prune and recipe.train.evaluations == 1:
            watcher.notice("no trial can be pruned: train.evaluations is 1")
        teller.tell()
        if workers == 1:
            work(teller.study, recipe, space, materials, teller.tell)
        else:
            work_together(recipe, space, workers, teller.tell)
        teller.tell()
        trials = finished(teller.study)
        if best_of(trials) is None:
            raise UserError(f"none of {len(trials)} trials came to its end; the last: {trials[-1].user_attrs['why']}")
        write_report(recipe, space, trials)
        _plot(teller.study, recipe, space, watcher)
    return recipe.folder / BEST


class Teller:
    """Tells of every trial that ends, whoever ran it, and brings the table and the best recipe up to date."""

    def __init__(self, study: optuna.Study, recipe: Recipe, space: tuple[Axis, ...], watcher: Watcher) -> None:
        self.study, self._recipe, self._space, self._watcher = study, recipe, space, watcher
        self._names = short_names(axis.key for axis in space)
        self._told = finished(study)
        if self._told:
            watcher.notice(f"going on with {len(self._told)} trials")

    def tell(self) -> None:
        known = {trial.number for trial in self._told}
        new = [trial for trial in finished(self.study) if trial.number not in known]
        for trial in new:
            self._told.append(trial)
            self._watcher.notice(self._line(trial))
        if new:
            write_report(self._recipe, self._space, self._told)
        self._watcher.progress("trials", len(self._told), self._recipe.sweep.trials)

    def _line(self, trial: FrozenTrial) -> str:
        why = trial.user_attrs.get("why")
        pruned = "" if trial.state == TrialState.COMPLETE else "given up" if why else "pruned at "
        score = "" if why else f"{score_of(trial):.1%}"
        best = best_of(self._told)
        so_far = f" (best {score_of(best):.1%})" if best else ""
        values = ", ".join(f"{self._names[key]}={shortened(value)}" for key, value in trial.params.items())
        same = ", tried before" if "same_as" in trial.user_attrs else ""
        line = f"trial {len(self._told)} of {self._recipe.sweep.trials}: {pruned}{score}{so_far} {values}{same}"
        return f"{line}: {why}" if why else line


def write_report(recipe: Recipe, space: tuple[Axis, ...], trials: list[FrozenTrial]) -> None:
    """The table of the trials, and the whole recipe of the best, ready for `tinyrm train`."""
    keys = [axis.key for axis in space]
    facts = ("accuracy", "log_loss", "step", "why")
    with written_at_once(recipe.folder / TRIALS) as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "state", "score", *facts, "seconds", *keys])
        for trial in trials:
            seconds = round(trial.duration.total_seconds(), 1) if trial.duration else None
            noted = [trial.user_attrs.get(fact) for fact in facts]
            values = [trial.params.get(key) for key in keys]
            score = None if math.isnan(score_of(trial)) else score_of(trial)
            writer.writerow([trial.number, trial.state.name.lower(), score, *noted, seconds, *values])
    if best := best_of(trials):
        found = suggest(FixedTrial(best.params), space, recipe)
        name, output = f"{recipe.name}-best", str(recipe.folder / "best")
        found = replace(found, name=name, output=output, sweep=SweepConfig())
        with written_at_once(recipe.folder / BEST) as path:
            write_recipe(path, found)


def _plot(study: optuna.Study, recipe: Recipe, space: tuple[Axis, ...], watcher: Watcher) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        watcher.notice("no plots without matplotlib: pip install 'tinyrm[report]'")
        return
    from .sweep_plots import plot_importance, plot_parallel

    with written_at_once(recipe.folder / IMPORTANCE) as path:
        plot_importance(study, space, path)
    with written_at_once(recipe.folder / PARALLEL) as path:
        plot_parallel(finished(study), space, path)
