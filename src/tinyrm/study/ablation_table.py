"""An ablation as a table: for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..evaluate.table import percent
from .ablation import Ablation
from .ablation_runs import RECIPE

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(ablation: Ablation) -> RenderableType:
    """The table and what is needed to read it, for `console.print`."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    headings, *rows = _cells(ablation, "[bold]{}[/bold]")
    table = Table(title=f"What the ingredients of {ablation.name} are worth", title_justify="left")
    table.add_column(headings[0], ratio=1)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    return Group(table, *(Text(line) for line in facts(ablation)))


def to_markdown(ablation: Ablation, picture: str | None) -> str:
    """The same as a Markdown file, with the picture at its top if there is one."""
    headings, *rows = _cells(ablation, "**{}**")
    lines = [f"# What the ingredients of {ablation.name} are worth", ""]
    if picture is not None:
        lines += [f"![Difference in accuracy from the recipe, by ingredient]({picture})", ""]
    lines += [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    lines += [_line(cells) for cells in rows]
    return "\n".join([*lines, "", *(f"- {fact}" for fact in facts(ablation)), ""])


def facts(ablation: Ablation) -> list[str]:
    """What the figures mean and what stands behind them, one sentence a line."""
    several = len(ablation.seeds) > 1
    seeds = f"seeds {ablation.seeds[0]} to {ablation.seeds[-1]}" if several else f"seed {ablation.seeds[0]} alone"
    lines = [
        f"{ablation.pairs:,} held-out pairs of {ablation.prompts:,} prompts, the same for every run; {seeds}.",
        "Difference: a variant's accuracy minus the recipe's, in points; below 0 the recipe is the better one.",
        f"95% interval: paired, over prompts {'and seeds' if several else '(one seed: nothing is known of others)'}; "
        "bold where it leaves out 0.",
        "By seed: the least and the greatest difference of one seed; for the recipe, from its own mean.",
        "Time: of training, the fastest run against the recipe's fastest.",
    ]
    return lines + [f"{row.says}: {row.failed}." for row in ablation.rows if row.failed is not None]


def _cells(ablation: Ablation, bold: str) -> list[list[str]]:
    """Headings and rows; `bold` is the mark-up around what stands out."""
    cells = [["", "accuracy %", "difference", "95% interval", "by seed", "log loss", "time"]]
    usual = ablation.rows[0].seconds or 0.0
    for row in ablation.rows:
        says = bold.format(row.says) if row.name == RECIPE else row.says
        if row.accuracy is None or row.log_loss is None or row.seconds is None:
            cells.append([says, "failed", *[""] * 5])
            continue
        gap = row.difference
        difference = [_points(gap.value), f"[{_points(gap.low)}, {_points(gap.high)}]"] if gap else ["", ""]
        cells.append(
            [
                says,
                percent(row.accuracy.value),
                *(bold.format(cell) if row.decided else cell for cell in difference),
                f"{_points(min(row.by_seed))} to {_points(max(row.by_seed))}",
                f"{row.log_loss:.3f}",
                f"{row.seconds / max(usual, 1e-9):.2f}x",
            ]
        )
    return cells


def to_csv(ablation: Ablation) -> str:
    """Every figure, unrounded; shares and differences of shares lie between -1 and 1."""
    text = io.StringIO()
    columns = "variant says overrides seeds accuracy accuracy_low accuracy_high difference low high by_seed"
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns.split(), "log_loss", "seconds", "failed"])
    for row in ablation.rows:
        scores = [
            figure
            for score in (row.accuracy, row.difference)
            for figure in ((score.value, score.low, score.high) if score else (None,) * 3)
        ]
        by_seed = " ".join(map(str, row.by_seed))
        overrides = json.dumps(dict(row.overrides))
        writer.writerow(
            [row.name, row.says, overrides, row.seeds, *scores, by_seed, row.log_loss, row.seconds, row.failed]
        )
    return text.getvalue()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _points(share: float) -> str:
    """A difference of shares in points, as in +1.3; a difference of nothing is 0.0."""
    return f"{100 * share:+.1f}" if round(100 * share, 1) else "0.0"
