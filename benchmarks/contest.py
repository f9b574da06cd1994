"""Contenders at the same work, each in a process of its own: interleaved rounds, a table and a plot of their rates."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OURS, LEVER, OTHER = "#2a6f97", "#8fb8cf", "#b8bec6"


def rounds(count: int, names: Sequence[str], command: Callable[[str], list[str]], unit: str) -> dict[str, list[Any]]:
    """What each contender's process prints last, a JSON object with `work` and `seconds`, by round."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for round_ in range(count):
        for name in names:
            done = subprocess.run(command(name), capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            rate = found[name][-1]["work"] / found[name][-1]["seconds"]
            print(f"round {round_ + 1}  {name:22} {rate:9,.1f} {unit}/s", flush=True)
    return found


def publish(
    stem: str, shape: str, unit: str, found: Mapping[str, list[Any]], what: Mapping[str, str], colour: Mapping[str, str]
) -> None:
    """Writes STEM-SHAPE.csv and .png beside this file; ratios are of medians, to the first contender."""
    rates = {name: [run["work"] / run["seconds"] for run in runs] for name, runs in found.items()}
    median = {name: statistics.median(values) for name, values in rates.items()}
    first = next(iter(median))
    header = ("shape", "contender", f"{unit}/s", "lowest", "highest", f"times {first}", "peak MiB", "what")
    digits = 0 if median[first] > 50 else 1
    rows = [
        (
            shape,
            name,
            *(f"{value:.{digits}f}" for value in (median[name], min(rates[name]), max(rates[name]))),
            f"{median[name] / median[first]:.2f}",
            f"{max(run['peak_mib'] for run in found[name]):.0f}",
            what[name],
        )
        for name in found
    ]
    with (HERE / f"{stem}-{shape}.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    for row in (header, *rows):
        print("".join(f"{cell!s:>24}" for cell in row[1:7]))
    _plot(stem, shape, unit, rates, colour, digits)


def _plot(
    stem: str, shape: str, unit: str, rates: Mapping[str, list[float]], colour: Mapping[str, str], digits: int
) -> None:
    """Bars of the medians, with the least and the most of the rounds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(rates)[::-1]
    middle = [statistics.median(rates[name]) for name in names]
    figure, axes = pyplot.subplots(figsize=(8, 0.42 * len(names) + 1.1), layout="constrained")
    axes.barh(names, middle, color=[colour[name] for name in names], height=0.66)
    for place, name in enumerate(names):
        low, high = min(rates[name]), max(rates[name])
        axes.plot([low, high], [place, place], color="#222222", linewidth=1)
        text = f"{middle[place]:,.{digits}f}  ({middle[place] / middle[-1]:.1f}x)"
        axes.text(high + 0.01 * max(middle), place, text, va="center")
    axes.set_xlim(0, 1.22 * max(middle))
    axes.set_xlabel(f"{unit} per second")
    axes.set_title(f"{shape} shape, 2 CPU cores", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / f"{stem}-{shape}.png", dpi=150)
