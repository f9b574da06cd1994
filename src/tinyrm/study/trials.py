"""The trials of a sweep: a study in SQLite that any number of processes work on."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import optuna
import torch
from filelock import FileLock
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from ..config import Recipe, flat
from ..errors import UserError
from ..train.folder import UNDECIDING
from ..train.materials import Materials, Silent
from ..train.run import train
from .space import Axis, suggest

STUDY = "study.db"
LOCK = "study.lock"
HEARTBEAT = 20
GRACE = 90
"""Seconds between signs of life of a trial, and without any before its worker counts as dead."""
WAIT = 1.0
"""Seconds between looks at a study whose last trials others are running."""
RETRIES = 2
BEGINNING = 5
"""Complete trials before any is pruned, where the sweep is long enough for that."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keeps Optuna from telling every trial, and from warning of features that it calls experimental."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def open_study(recipe: Recipe, space: tuple[Axis, ...]) -> optuna.Study:
    """The study in the recipe's folder, begun if there is none.

    Raises:
        UserError: the folder holds the study of another recipe or space.
    """
    folder = recipe.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = str((folder / STUDY).absolute()).replace("{", "{{").replace("}", "}}")  # Optuna formats its URL
    with _turn(recipe):
        storage = RDBStorage(
            f"sqlite:///{path}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )
        beginning = max(1, min(BEGINNING, recipe.sweep.trials // 3))
        study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=MedianPruner(n_startup_trials=beginning) if recipe.sweep.prune else NopPruner(),
        )
        mine, theirs = _decisive(recipe, space), study.user_attrs.get("recipe")
        if theirs is None:
            study.set_user_attr("recipe", mine)
            theirs = mine
    differing = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key)]
    if differing:
        said = "; ".join(f"{key} is {mine.get(key)}, was {theirs.get(key)}" for key in differing[:3])
        raise UserError(
            f"{folder} holds the sweep of another recipe ({said}): choose another output=..., or delete the folder"
        )
    return study


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that came to an end, complete or pruned, in the order of their ends."""
    found = study.get_trials(deepcopy=False, states=FINISHED)
    return sorted(found, key=lambda trial: (str(trial.datetime_complete), trial.number))


def best_of(trials: list[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial of the highest score; of equals the surer one, by its log loss."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: (round(score_of(trial), 6), -trial.user_attrs["log_loss"]), default=None)


def score_of(trial: FrozenTrial) -> float:
    """The held-out score of a trial, or the last before it was pruned; NaN if it never had one."""
    if trial.value is not None:
        return trial.value
    return trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else math.nan


def work(
    study: optuna.Study,
    recipe: Recipe,
    space: tuple[Axis, ...],
    materials: Materials,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Runs trials until the study holds `recipe.sweep.trials`, those of other workers counted; `tell` after each.

    A worker takes a trial while no other does: it sees what the others are trying, and none is one too many.
    """
    while True:
        with _turn(recipe) as turn:
            fail_stale_trials(study)
            trials = study.get_trials(deepcopy=False)
            done = sum(trial.state in FINISHED for trial in trials)
            if done >= recipe.sweep.trials or _orphaned():
                return
            taken = done + sum(trial.state == TrialState.RUNNING for trial in trials)
            if taken < recipe.sweep.trials:
                # Seeded anew for each trial: a study that goes on would else draw its first trials once more.
                seed = np.random.SeedSequence([recipe.seed, len(trials)]).generate_state(1)[0]
                study.sampler = TPESampler(seed=int(seed))
                study.optimize(lambda trial: _score(trial, recipe, space, materials, turn), n_trials=1)
        tell()
        if taken >= recipe.sweep.trials:
            time.sleep(WAIT)  # one of the running trials may be a dead worker's


def _score(trial: optuna.Trial, recipe: Recipe, space: tuple[Axis, ...], materials: Materials, turn: FileLock) -> float:
    """The held-out score of one trial."""
    evaluations = itertools.count(1)

    def on_validation(step: int, metrics: dict[str, Any]) -> None:
        # Counted in evaluations, not in steps: batch sizes and epochs may differ among trials.
        evaluation = next(evaluations)
        trial.report(metrics["score"], evaluation)
        if evaluation < tried.train.evaluations and trial.should_prune():
            raise optuna.TrialPruned

    try:
        tried = suggest(trial, space, recipe)
        turn.release()
        if former := _same(trial):
            return _as_before(trial, former)
        best = train(tried, Silent(), keep=False, materials=materials, on_validation=on_validation).best
    except (UserError, torch.OutOfMemoryError) as problem:
        # Pruned, not failed: so the sampler learns that these values are bad.
        trial.set_user_attr("why", str(problem).splitlines()[0])
        raise optuna.TrialPruned from None
    for name in ("accuracy", "log_loss", "step"):
        trial.set_user_attr(name, best[name])
    return float(best["score"])


def _same(trial: optuna.Trial) -> FrozenTrial | None:
    """A finished trial of the same values; as all trials share one seed, it would only come out the same."""
    return next((other for other in finished(trial.study) if other.params == trial.params), None)


def _as_before(trial: optuna.Trial, former: FrozenTrial) -> float:
    for name, value in {"same_as": former.number, **former.user_attrs}.items():
        trial.set_user_attr(name, value)
    for evaluation, score in former.intermediate_values.items():
        trial.report(score, evaluation)
    if former.state == TrialState.PRUNED:
        raise optuna.TrialPruned
    return score_of(former)


@contextlib.contextmanager
def _turn(recipe: Recipe) -> Iterator[FileLock]:
    """Held by one process at a time; whoever has it may release it early."""
    lock = FileLock(recipe.folder / LOCK)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release(force=True)


def _orphaned() -> bool:
    """Whether the command that started this worker is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def _decisive(recipe: Recipe, space: tuple[Axis, ...]) -> dict[str, Any]:
    """Dotted key -> JSON value of all that decides the scores of a study; keys that are searched in their space."""
    searched = {axis.key for axis in space}
    values = {
        key: value
        for key, value in flat(asdict(recipe)).items()
        if key not in searched and not any(f"{key}.".startswith(f"{free}.") for free in UNDECIDING)
    }
    values |= {f"sweep.space.{axis.key}": axis.plain for axis in space}
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
