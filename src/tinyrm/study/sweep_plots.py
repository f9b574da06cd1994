"""Plots of a sweep: what mattered, and which values went together with which score."""

from __future__ import annotations

import itertools
import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from matplotlib.patheffects import withStroke
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from .space import Axis, shortened
from .trials import best_of, finished, score_of

INK, DIM, FAINT, BAR = "#222222", "#777777", "#c9c9c9", "#2a6f97"
DPI = 150
FEWEST = 4
"""Complete trials below which no importance is told."""
GOOD = 5
"""Trials that are to count as good, by which importance is measured."""
MOST_TICKS = 12
FURTHEST = 5
"""How far the scale of scores reaches down, in distances of the median from the best."""
ABSENT = -0.14
"""Height of the line of a trial that has no such value, such as the rank without an adapter."""
SPREAD = 0.035
"""How far lines through one choice are spread, so that they can be told apart."""


def plot_importance(study: optuna.Study, space: Sequence[Axis], path: Path) -> None:
    """Bars: the share of each key in what sets the best trials apart, by PED-ANOVA."""
    complete = [trial for trial in finished(study) if trial.state == TrialState.COMPLETE]
    keys = [axis.key for axis in space]
    shares = dict.fromkeys(keys, 0.0)
    told = f"PED-ANOVA importance over {_counted(len(complete), 'complete trial')}"
    if len(complete) < FEWEST:
        told += ": too few to tell"
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that few trials had: the caption says how many there were
            evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, GOOD / len(complete))))
            shares |= get_param_importances(study, evaluator=evaluator)
    figure = Figure(figsize=(7, 1.4 + 0.42 * len(keys)), dpi=DPI, layout="constrained")
    axes: Axes = figure.add_subplot()
    ordered = sorted(keys, key=lambda key: shares[key])
    bars = axes.barh(ordered, [shares[key] for key in ordered], height=0.62, color=BAR)
    axes.bar_label(
        bars,
        [f"{shares[key]:.0%}" if any(shares.values()) else "?" for key in ordered],
        padding=4,
        color=INK,
        fontsize=9,
    )
    axes.set_xlim(0, 1.12 * max(shares.values()) or 1)
    axes.set_title("What sets the best trials apart", loc="left", color=INK, fontsize=12, pad=10)
    axes.set_xlabel(told, color=INK, fontsize=9)
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    figure.savefig(path)


def plot_parallel(trials: Sequence[FrozenTrial], space: Sequence[Axis], path: Path) -> None:
    """One axis for each key, and a line for each trial that ends at its score; pruned ones are grey and have none."""
    complete = sorted((trial for trial in trials if trial.state == TrialState.COMPLETE), key=score_of)
    best = best_of(complete)
    scores = [score_of(trial) for trial in complete]
    norm = _scale(scores)

    figure = Figure(figsize=(max(6.0, 1.9 * len(space) + 1.2), 5), dpi=DPI, layout="constrained")
    axes: Axes = figure.add_subplot()
    colours = matplotlib.colormaps["viridis"]
    heights = _heights(trials, space)
    for trial in [trial for trial in trials if trial.state == TrialState.PRUNED]:
        _line(axes, heights[trial.number], color=FAINT, linewidth=0.9, zorder=1)
    alpha = max(0.3, min(0.85, 40 / len(trials)))
    for trial in complete:
        ends = [*heights[trial.number], float(norm(score_of(trial)))]
        chosen = best is not None and trial.number == best.number
        style = {"linewidth": 3.2, "zorder": 4} if chosen else {"linewidth": 1.4, "zorder": 2, "alpha": alpha}
        if chosen:
            _line(axes, ends, color=INK, linewidth=5.2, zorder=3.5)
        _line(axes, ends, color=colours(norm(score_of(trial))), **style)
    for place, axis in enumerate(space):
        axes.plot([place, place], [0, 1], color=INK, linewidth=1, zorder=3)
        _head(axes, place, axis.key)
        for height, text in _ticks(axis):
            _label(axes, place, height, text)
        if any(axis.key not in trial.params for trial in trials):
            _label(axes, place, ABSENT, "no adapter")
    _score_bar(axes, len(space), norm, colours, cut=scores[0] < float(norm.inverse(0)) - 1e-9)
    pruned = len(trials) - len(complete)
    told = _counted(len(complete), "complete trial") + (f", {pruned} pruned (grey)" if pruned else "")
    axes.set_title(f"{told}; the best is outlined", loc="left", color=INK, fontsize=11, pad=12)
    axes.set_xlim(-0.55, len(space) + 0.35)
    lowest = min(0.0, *(min(crossed) for crossed in heights.values()))
    axes.set_ylim(lowest - 0.04, 1.17)
    axes.axis("off")
    figure.savefig(path)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _scale(scores: Sequence[float]) -> Normalize:
    """From the worst to the best score; a few trials that went wholly wrong do not flatten the others."""
    high, middle = max(scores), float(np.median(scores))
    low = max(min(scores), high - FURTHEST * (high - middle)) if high > middle else min(scores)
    return Normalize(low, high, clip=True) if high > low else Normalize(low - 0.005, high + 0.005, clip=True)


def _score_bar(axes: Axes, place: float, norm: Normalize, colours: Colormap, cut: bool) -> None:
    """The last axis, which is the key to the colours as well."""
    axes.imshow(
        np.linspace(0, 1, 256)[:, None],
        extent=(place, place + 0.09, 0, 1),
        aspect="auto",
        origin="lower",
        cmap=colours,
        zorder=3,
    )
    _head(axes, place + 0.045, "held-out.score")
    for height in np.linspace(0, 1, 5):
        text = f"{'≤ ' if cut and height == 0 else ''}{float(norm.inverse(height)):.1%}"
        axes.text(place + 0.12, height, text, va="center", color=INK, fontsize=8)


def _heights(trials: Sequence[FrozenTrial], space: Sequence[Axis]) -> dict[int, list[float]]:
    """Trial -> where its line crosses each axis, between 0 and 1."""
    crossed: dict[int, list[float]] = {trial.number: [] for trial in trials}
    for axis in space:
        through: dict[float, list[int]] = {}
        for trial in trials:
            place = _height(axis, trial.params[axis.key]) if axis.key in trial.params else ABSENT
            through.setdefault(place, []).append(trial.number)
        for place, numbers in through.items():
            apart = np.linspace(-SPREAD, SPREAD, len(numbers)) if len(numbers) > 1 else [0.0]
            for number, shift in zip(numbers, apart, strict=True):
                crossed[number].append(place + float(shift))
    return crossed


def _height(axis: Axis, value: Any) -> float:
    found: Any = axis.distribution
    if isinstance(found, CategoricalDistribution):
        return found.choices.index(value) / (len(found.choices) - 1) if len(found.choices) > 1 else 0.5
    low, high = (math.log(found.low), math.log(found.high)) if found.log else (found.low, found.high)
    return ((math.log(value) if found.log else value) - low) / (high - low) if high > low else 0.5


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    found: Any = axis.distribution
    if isinstance(found, CategoricalDistribution):
        return [
            (_height(axis, choice), textwrap.fill(shortened(choice, 38), 15, break_long_words=False))
            for choice in found.choices
        ]
    if found.log:
        tens = [10.0**power for power in range(-12, 13) if found.low * 0.999 <= 10.0**power <= found.high * 1.001]
        values = tens if len(tens) > 1 else list(np.geomspace(found.low, found.high, 3))
    elif found.step and (found.high - found.low) / found.step <= MOST_TICKS:
        values = list(np.arange(found.low, found.high + found.step / 2, found.step))
    else:
        values = list(np.linspace(found.low, found.high, 5))
    if isinstance(found.low, int):
        values = sorted({round(value) for value in values})
    return [(_height(axis, value), shortened(value)) for value in values]


def _head(axes: Axes, place: float, key: str) -> None:
    table, _, name = key.rpartition(".")
    axes.text(place, 1.07, name, ha="center", color=INK, fontsize=10, fontweight="bold")
    axes.text(place, 1.13, table, ha="center", color=DIM, fontsize=8)


def _label(axes: Axes, place: float, height: float, text: str) -> None:
    """Text at the left of an axis, legible above the lines."""
    halo = [withStroke(linewidth=2.5, foreground="white")]
    axes.plot([place - 0.03, place], [height, height], color=INK, linewidth=1, zorder=5)
    axes.text(place - 0.05, height, text, ha="right", va="center", color=INK, fontsize=8, zorder=6, path_effects=halo)


def _line(axes: Axes, heights: Sequence[float], **style: Any) -> None:
    """A smooth line through the axes, level where it crosses them."""
    points, codes = [(0.0, heights[0])], [Curve.MOVETO]
    for place, (here, there) in enumerate(itertools.pairwise(heights)):
        points += [(place + 0.5, here), (place + 0.5, there), (place + 1.0, there)]
        codes += [Curve.CURVE4] * 3
    axes.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor=style.pop("color"), **style))
