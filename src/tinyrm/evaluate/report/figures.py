"""Plots as SVG that takes its colours from the page around it, so that it is right in light and in dark."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyrm.errors import require

from ..published import PUBLISHED
from .runs import Group

_INK, _FAINT = "#010101", "#020202"
_SERIES = tuple(f"#0{i}0{i}0{i}" for i in range(3, 9))
"""Stand-ins, each replaced by a variable of the page's style."""
_VARIABLES = {_INK: "currentColor", _FAINT: "var(--faint)"} | {
    colour: f"var(--series-{i})" for i, colour in enumerate(_SERIES)
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing and what it shows."""

    title: str
    svg: str


def colour(i: int) -> str:
    return _SERIES[i % len(_SERIES)]


def sections(group: Group) -> Figure:
    """Every section's score with its interval, by run; longer wins as a tick."""
    names = [s["name"] for s in group.first["scores"] if s["role"] != "part"] or [
        s["name"] for s in group.first["scores"]
    ]
    runs = group.runs
    height = 0.9 + len(names) * (0.26 + 0.2 * len(runs))

    def draw(axes: Any) -> None:
        for i, name in enumerate(names):
            for k, run in enumerate(runs):
                score = next(s for s in run.facts["scores"] if s["name"] == name)
                place = i + (k - (len(runs) - 1) / 2) * 0.7 / max(len(runs), 1)
                axes.plot([100 * score["low"], 100 * score["high"]], [place] * 2, color=colour(k), linewidth=2)
                axes.plot(100 * score["value"], place, "o", color=colour(k), markersize=6)
            for baseline in group.first["baselines"][:1]:
                score = next(s for s in baseline["scores"] if s["name"] == name)
                axes.plot([100 * score["value"]] * 2, [i - 0.42, i + 0.42], color=_INK, linewidth=1, linestyle=":")
        axes.axvline(50, color=_FAINT, linewidth=1, zorder=0)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("accuracy, %")

    return _svg(draw, height, "Scores with 95% intervals")


def reliability(group: Group) -> Figure:
    """How often verdicts are right, by how sure they are."""

    def draw(axes: Any) -> None:
        axes.plot([50, 100], [50, 100], color=_FAINT, linewidth=1)
        for k, run in enumerate(group.runs):
            _curve(axes, run.facts["calibration"]["bins"], k, 100.0)
        axes.set_xlabel("how sure the verdict is, %")
        axes.set_ylabel("how often it is right, %")

    return _svg(draw, 3.4, "Is it as right as it says?", width=4.6)


def by_length(group: Group) -> Figure:
    """Accuracy by how much longer the better response is."""

    def draw(axes: Any) -> None:
        axes.axhline(50, color=_FAINT, linewidth=1)
        for k, run in enumerate(group.runs):
            lean = run.facts["audits"]["length"]
            if lean:
                _curve(axes, lean["curve"], k, 1.0)
        axes.set_xlabel("the better response is shorter  ·  longer")
        axes.set_xlim(-1.05, 1.05)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1])
        axes.set_ylabel("accuracy, %")

    return _svg(draw, 3.4, "Does length decide? (better - worse) / (better + worse)", width=4.6)


def by_margin(group: Group) -> Figure:
    """Accuracy by how sure the judge is, in tenths of the rows."""

    def draw(axes: Any) -> None:
        axes.axhline(50, color=_FAINT, linewidth=1)
        for k, run in enumerate(group.runs):
            _curve(axes, run.facts["audits"]["by_margin"], k, 1.0)
        axes.set_xlabel("|log-odds| of the verdict")
        axes.set_ylabel("accuracy, %")

    return _svg(draw, 3.4, "Is it right where it is sure? Tenths of the rows", width=4.6)


def cost(group: Group) -> Figure | None:
    """Accuracy against GFLOPs a response, beside the published points; None where no run knows its cost."""
    known = [(k, run, run.facts.get("cost") or {}) for k, run in enumerate(group.runs)]
    known = [(k, run, cost) for k, run, cost in known if cost.get("gflops_per_response")]
    if not known:
        return None
    rows = next((s["name"] for s in group.first["scores"] if s["name"] == "Paper: all rows"), None)
    tokens = max(cost["tokens_per_response"] for _, _, cost in known)

    def draw(axes: Any) -> None:
        for k, run, cost in known:
            name = rows or run.facts["scores"][0]["name"]
            score = next(s for s in run.facts["scores"] if s["name"] == name)
            x, y = cost["gflops_per_response"], 100 * score["value"]
            axes.plot([x, x], [100 * score["low"], 100 * score["high"]], color=colour(k), linewidth=2)
            axes.plot(x, y, "o", color=colour(k), markersize=7)
            axes.annotate(run.model, (x, y), xytext=(8, 0), textcoords="offset points", va="center", color=_INK)
        if rows:
            for point in PUBLISHED:
                x = 2 * tokens * point.gflops_per_token  # printed with a multiplication and an addition as one
                axes.plot(x, point.overall, "s", color=_FAINT, markersize=6)
                axes.annotate(
                    point.model, (x, point.overall), xytext=(-8, 8), textcoords="offset points", ha="right", color=_INK
                )
        axes.set_xscale("log")
        for formatted in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
            formatted(lambda x, _: f"{x:g}")
        axes.tick_params(axis="x", which="minor", labelsize=8)
        axes.margins(x=0.25, y=0.15)
        axes.set_xlabel("GFLOPs a response")
        axes.set_ylabel("accuracy over all rows, %" if rows else "accuracy, %")

    return _svg(draw, 3.6, "Accuracy against operations a response")


def _curve(axes: Any, bins: Sequence[Mapping[str, float]], k: int, scale: float) -> None:
    x, y = [scale * b["mean"] for b in bins], [100 * b["accuracy"] for b in bins]
    axes.fill_between(
        x, [100 * b["low"] for b in bins], [100 * b["high"] for b in bins], color=colour(k), alpha=0.15, linewidth=0
    )
    axes.plot(x, y, "o-", color=colour(k), linewidth=1.6, markersize=4)
    axes.set_ylim(0, 102)


def _svg(draw: Callable[[Any], None], height: float, title: str, width: float = 5.6) -> Figure:
    """The drawing as an <svg> element that is as wide as the page lets it be.

    Raises:
        UserError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "report")
    require("matplotlib.figure", "report")
    settings = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "svg.hashsalt": "tinyrm"}
    settings["text.parse_math"] = False  # names are not TeX
    with matplotlib.rc_context(settings):
        figure = matplotlib.figure.Figure(figsize=(width, height))
        figure.set_layout_engine("constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_FAINT)
        axes.tick_params(colors=_INK, which="both", length=0)
        axes.xaxis.label.set_color(_INK)
        axes.yaxis.label.set_color(_INK)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    # Ids of one drawing must not be those of another on the page.
    salt = hashlib.blake2b(svg.encode(), digest_size=6).hexdigest()
    svg = re.sub(r'\bid="([^"]+)"', rf'id="f{salt}-\1"', svg)
    svg = re.sub(r"(url\(#|xlink:href=\"#)", rf"\g<1>f{salt}-", svg)
    start = rf'<svg viewBox="\1" style="max-width: {width * 96:.0f}px" role="img" aria-label="{title}">'
    return Figure(title, re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', start, svg, count=1))
