"""A run shown to TensorBoard, W&B, trackio and the other trackers that Accelerate knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..config import Recipe, flat
from ..errors import UserError, nearest


class Trackers:
    """The recipe's trackers, told of every step and evaluation; use as a context, so that they end with the run."""

    def __init__(self, recipe: Recipe, *, keeps: bool) -> None:
        """keeps: a trial of a search shows nothing.

        Raises:
            UserError: a tracker is unknown, or not installed.
        """
        self._recipe = recipe
        self._names = recipe.train.trackers if keeps else ()
        _check(self._names)

    def start(self, accelerator: Any) -> Trackers:
        self._accelerator = accelerator
        if self._names:
            from accelerate.utils import ProjectConfiguration

            recipe = self._recipe
            accelerator.project_configuration = ProjectConfiguration(project_dir=str(recipe.folder))
            accelerator.log_with = list(self._names)
            config = {key: _plain(value) for key, value in flat(asdict(recipe)).items()}
            accelerator.init_trackers(recipe.name, config=config)
        return self

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._names:
            self._accelerator.end_training()

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Every number among nested values."""
        if self._names:
            numbers = {
                key.replace(".", "/"): value
                for key, value in flat(values).items()
                if isinstance(value, (int, float)) and not isinstance(value, bool)
            }
            self._accelerator.log(numbers, step=step)


def _check(names: tuple[str, ...]) -> None:
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise UserError(f"no tracker is called {name!r}{nearest(name, sorted(LOGGER_TYPE_TO_CLASS))}")
        if name not in installed:
            raise UserError(f"the tracker {name} is not installed: pip install {name}")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else str(value)
