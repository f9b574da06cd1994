"""The runs of an ablation, kept as lines of a file that a killed study goes on from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from ..config import AblationConfig, Recipe, SweepConfig
from ..data import Mixture
from ..errors import UserError

RECIPE = "recipe"
"""Name of the recipe itself among its variants."""


@dataclass(frozen=True)
class Run:
    """One run; its figures are those of its best step.

    recipe, data: digests of the recipe under study and of its rows. logits: log-odds of every held-out pair, to
    five digits. seconds: of training alone. failed: why there are no figures.
    """

    variant: str
    seed: int
    recipe: str
    data: str
    overrides: dict[str, Any] = field(default_factory=dict)
    failed: str | None = None
    score: float = 0.0
    accuracy: float = 0.0
    log_loss: float = 0.0
    step: int = 0
    seconds: float = 0.0
    logits: tuple[float, ...] = ()


def append_run(path: Path, run: Run) -> None:
    with path.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def finished_runs(path: Path, recipe: str, data: str) -> dict[tuple[str, int], Run]:
    """The runs that need not be repeated, by variant and seed; failed ones are tried again.

    Raises:
        UserError: the file holds runs of another recipe or other rows.
    """
    if not path.exists():
        return {}
    found = path.read_bytes()
    whole = found[: found.rfind(b"\n") + 1]
    if whole != found:  # killed in the midst of a line
        os.truncate(path, len(whole))
    runs = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            run = msgspec.json.decode(line, type=Run)
        except msgspec.DecodeError as problem:
            raise UserError(f"{path}, line {number} is not a run of an ablation: {problem}") from None
        if (run.recipe, run.data) != (recipe, data):
            changed = "another recipe" if run.recipe != recipe else "other rows: the data have changed since"
            raise UserError(f"{path} holds runs of {changed}; choose another output=..., or delete the file")
        if run.failed is None:
            runs[run.variant, run.seed] = run
    return runs


def digest_of_recipe(recipe: Recipe) -> str:
    """What all runs of a study have in common: not its name, its folder, nor how much of it is asked for."""
    common = replace(recipe, name="", output="", sweep=SweepConfig(), ablation=AblationConfig())
    return _digest(json.dumps(asdict(common), sort_keys=True))


def digest_of_rows(mixture: Mixture) -> str:
    return _digest(repr((mixture.train, mixture.held_out)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
