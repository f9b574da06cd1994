"""An ablation as a picture: what each variant gains or loses, with its interval and its seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import require
from .ablation import Ablation

CLEAR, UNCLEAR, SEEDS = "#1f4e79", "#8f9aa5", "#d98e04"


def plot(ablation: Ablation, path: Path) -> None:
    """Draws each variant's difference from the recipe in points, the largest loss at the top, as a PNG.

    Raises:
        UserError: matplotlib is not installed.
    """
    rows = [row for row in ablation.rows if row.accuracy is not None]
    figure = require("matplotlib.figure", "report").Figure(figsize=(9, 1.5 + 0.38 * len(rows)), dpi=150)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="black", linewidth=1, zorder=1)
    for place, row in enumerate(rows):
        seeds = [100 * gap for gap in row.by_seed]
        beside = place + (0.2 if row.difference is not None else 0)
        axes.scatter(seeds, [beside] * len(seeds), s=22, color=SEEDS, alpha=0.6, linewidths=0, zorder=2)
        if row.difference is not None:
            value, *ends = (100 * share for share in (row.difference.value, row.difference.low, row.difference.high))
            colour = CLEAR if row.decided else UNCLEAR
            axes.plot(ends, [place] * 2, color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
            axes.plot(value, place, "o", color=colour, markersize=7, zorder=4)
        if row.accuracy is not None:
            _at_the_right(axes, place, f"{100 * row.accuracy.value:.1f}%")
    _at_the_right(axes, -0.8, "accuracy", color="grey", fontsize=9)
    runs = f"{len(ablation.seeds)} seed{'s' if len(ablation.seeds) > 1 else ''}"
    axes.set_title(f"{ablation.name}: {ablation.pairs:,} held-out pairs, {runs}", fontsize=10, color="grey", pad=10)
    axes.set_yticks(range(len(rows)), [row.says for row in rows])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#e6e6e6", zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(
        "accuracy minus the recipe's, in points\n"
        "line: 95% interval, blue where it leaves out 0; small dots: single seeds",
    )
    figure.savefig(path, format="png")


def _at_the_right(axes: Any, place: float, text: str, **style: Any) -> None:
    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False, **style)
