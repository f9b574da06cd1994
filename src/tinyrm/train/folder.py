"""The folder of a run: its recipe, its log, the state it goes on from, and in the end the checkpoint."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from torch import Tensor

from ..config import Recipe, flat
from ..errors import UserError
from ..model.calibration import Calibration
from ..model.card import model_card
from ..model.checkpoint import CARD, MANIFEST, METRICS, open_checkpoint, write_json
from ..model.cloze_model import ClozeModel
from ..model.saving import save_checkpoint
from ..prompt import ClozeWriter
from .examples import Examples
from .loop import Fitted, Step
from .state import Saved, read_state, write_state

LOG = "log.jsonl"
RECIPE = "recipe.toml"
RESUME = "resume"
"""Folder within the run's, there until the run has finished: the last state, and the best model so far."""
STATE = "state.safetensors"
WARM = "warm.safetensors"
LOCK = "lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNDECIDING = ("name", "output", "cache", "sweep", "ablation", "train.checkpoint_minutes", "train.trackers")
"""Keys of a recipe that may differ between a run and its continuation."""


class RunFolder:
    """Where a run keeps what must outlive its process.

    keeps: a trial of a search keeps nothing. writes: of several processes only the first does.
    """

    def __init__(self, recipe: Recipe, *, keeps: bool, writes: bool, overwrite: bool) -> None:
        """
        Raises:
            UserError: the folder holds a finished model, and `overwrite` does not allow for it.
        """
        self.path = recipe.folder
        self._recipe = recipe
        self._keeps = keeps
        self._writes = writes
        self._overwrite = overwrite
        self._data = ""
        # One object in a process, so that a run that failed there does not lock out the next.
        self._lock = FileLock(self.path / RESUME / LOCK, is_singleton=True)
        if keeps and not overwrite and (self.path / MANIFEST).exists():
            raise UserError(f"{self.path} holds a finished model: choose another output=..., or --overwrite it")

    def warm_head(self) -> Saved | None:
        """The base with its head warmed up, if the run came so far before it was killed."""
        return read_state(self.path / RESUME / WARM) if self._keeps else None

    def save_warm_head(self, warmed: Saved) -> None:
        if self._writes:
            self._claim()
            with self._saving("the warmed-up head"):
                write_state(self.path / RESUME / WARM, warmed.tensors, warmed.facts)

    def begin(self, examples: Examples) -> Saved | None:
        """Writes down the recipe and returns the state to go on from, None for a new run.

        Raises:
            UserError: the folder holds a state of another recipe or other data, and may not be overwritten.
        """
        if not self._keeps:
            return None
        digest = hashlib.sha256()
        for array in (examples.ids, examples.starts, examples.target, examples.margin):
            digest.update(array.tobytes())
        self._data = digest.hexdigest()
        if self._writes:
            self._claim()
        saved = read_state(self.path / RESUME / STATE)
        if saved is not None and (differing := self._differing(saved)):
            if not self._overwrite:
                raise UserError(
                    f"{self.path} holds an unfinished run that differs in {', '.join(differing)}: "
                    "go on with what it began with, choose another output=..., or --overwrite it"
                )
            saved = None
        if self._writes:
            with self._saving("the recipe"):
                self.path.mkdir(parents=True, exist_ok=True)
                write_recipe(self.path / RECIPE, self._recipe)
                self._trim_log(saved.facts["fitted"]["steps"] if saved else 0)
        return saved

    def log(self, step: Step) -> None:
        if self._writes:
            with self._saving("the log"), (self.path / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(step)) + "\n")

    def save_best(
        self,
        step: int,
        model: ClozeModel,
        writer: ClozeWriter,
        calibration: Calibration,
        metrics: Mapping[str, Any],
        adapters_of: str | None,
    ) -> None:
        """Keeps the model of the best step so far, beside its predecessor, which the last state still names."""
        if not self._keeps:
            return
        kind = writer.template.kind
        folder = self._best(step)
        with self._saving(f"the model of step {step}"):
            save_checkpoint(
                folder if self._writes else None,
                model,
                {kind: writer},
                name=self._recipe.name,
                calibration={kind: calibration},
                metrics=metrics,
                adapters_of=adapters_of,
            )

    def save_state(
        self, tensors: Mapping[str, Tensor], fitted: Fitted, best: Mapping[str, Any], logits: np.ndarray
    ) -> None:
        if not self._writes:
            return
        facts = {"recipe": deciding(self._recipe), "data": self._data, "fitted": asdict(fitted), "best": dict(best)}
        with self._saving(f"the state of step {fitted.steps}"):
            write_state(
                self.path / RESUME / STATE, {**tensors, "best_logits": torch.from_numpy(np.array(logits))}, facts
            )
        for old in (self.path / RESUME).glob("best-*"):
            if old != self._best(best.get("step", 0)):
                shutil.rmtree(old, ignore_errors=True)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Makes the best model the run's checkpoint; a run killed here does it again."""
        if not self._writes:
            return
        best = self._best(metrics["validation"]["step"])
        manifest = open_checkpoint(best).manifest
        with self._saving("the checkpoint"):
            (self.path / MANIFEST).unlink(missing_ok=True)  # of a model that this one replaces
            for source in best.iterdir():
                if source.is_dir():
                    shutil.copytree(source, self.path / source.name, dirs_exist_ok=True)
                elif source.name != MANIFEST:
                    shutil.copyfile(source, self.path / source.name)
            write_json(self.path / METRICS, metrics)
            (self.path / CARD).write_text(model_card(manifest, metrics), "utf-8")
            write_json(self.path / MANIFEST, asdict(manifest))
        shutil.rmtree(self.path / RESUME)
        self._lock.release(force=True)

    def _claim(self) -> None:
        """Keeps the folder for this process, as long as it lives.

        Raises:
            UserError: another run is writing it.
        """
        if self._lock.is_locked:
            return
        with self._saving("the recipe"):
            (self.path / RESUME).mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"another run is writing {self.path}: wait for it, or choose another output=...") from None

    def _best(self, step: int) -> Path:
        return self.path / RESUME / f"best-{step}"

    def _differing(self, saved: Saved) -> list[str]:
        """What of this run is not as in the saved one."""
        there, here = flat(saved.facts["recipe"]), flat(deciding(self._recipe))
        differing = sorted(key for key in {*there, *here} if there.get(key) != here.get(key))
        return differing or (["the rows themselves"] if saved.facts["data"] != self._data else [])

    def _trim_log(self, steps: int) -> None:
        """Drops lines of steps that the state does not hold, and what a kill tore."""
        path = self.path / LOG
        if path.exists():
            lines = path.read_text("utf-8").splitlines(keepends=True)[:steps]
            path.write_text("".join(lines), "utf-8")

    @contextlib.contextmanager
    def _saving(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as problem:
            full = getattr(problem, "errno", None) in FULL or "No space" in str(problem)
            reason = "the disk is full" if full else getattr(problem, "strerror", None) or str(problem)
            raise UserError(
                f"{what} could not be saved in {self.path}: {reason}. The last state before it is whole: "
                "mend this, and the same command goes on from there"
            ) from None


def write_recipe(path: Path, recipe: Recipe) -> None:
    """The resolved recipe, defaults and overrides included."""
    import tomli_w

    path.write_text(tomli_w.dumps(_without_none(asdict(recipe))), "utf-8")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def deciding(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides the weights, as JSON gives it back."""
    values: dict[str, Any] = json.loads(json.dumps(_without_none(asdict(recipe))))
    for key in UNDECIDING:
        table, _, last = key.rpartition(".")
        (values[table] if table else values).pop(last, None)
    return values
