"""An evaluation as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .bootstrap import Score
from .evaluation import Evaluation

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def render(evaluation: Evaluation) -> RenderableType:
    """Scores beside the two baselines, subsets, and every fact needed to read them, for `console.print`."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(line) for line in facts(evaluation)]
    tables = [_scores(evaluation)]
    if len(evaluation.subsets) > 1:
        tables.append(_subsets(evaluation))
    return Group(*tables, *lines)


def facts(evaluation: Evaluation) -> list[str]:
    """What the figures mean and what stands behind them, one sentence a line."""
    rows, trust = evaluation.rows, evaluation.calibration
    lines = [f"{', '.join(names)}: {formula}." for formula, names in _by_formula(evaluation.scores).items()]
    for baseline in evaluation.baselines:
        gap = baseline.differences[0]
        lines.append(
            f"{gap.name} minus {baseline.name!r}: {100 * gap.value:+.1f} points "
            f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}], paired."
        )
    lines.append(
        f"{rows.judged:,} rows in {evaluation.seconds:.1f} s. Calibration error {percent(trust.ece)}%, "
        f"Brier {trust.brier:.3f}, log loss {trust.log_loss:.3f}."
    )
    if evaluation.protocol != "single":
        lines.append(f"Both orders of a pair name the same side in {percent(evaluation.orders_agree)}% of the rows.")
    if rows.sampled:
        lines.append(f"A SAMPLE: {rows.judged:,} of {rows.available:,} rows, of every subset in proportion.")
    if rows.tied:
        lines.append(f"{rows.tied:,} rows are labelled ties: neither right nor wrong, they are in no score.")
    if rows.called_ties:
        lines.append(f"{rows.called_ties:,} rows were called a tie by the judge: half right.")
    if rows.cut:
        lines.append(f"{rows.cut:,} rows were cut to fit the model's length.")
    if rows.skipped:
        lines.append(f"{len(rows.skipped):,} unreadable rows were skipped; the first: {rows.skipped[0]}")
    if evaluation.missing:
        parts = ", ".join(f"{gap.subset} ({gap.found} of {gap.expected})" for gap in evaluation.missing)
        lines.append(f"MISSING rows: {parts}.")
    if any(score.partial for score in evaluation.scores):
        lines.append("* over the subsets that are there.")
    return lines + [f"{note}." for note in evaluation.notes]


def percent(value: float) -> str:
    """A share in percent with one decimal, without its sign."""
    return f"{100 * value:.1f}"


def interval(score: Score) -> str:
    return f"[{percent(score.low)}, {percent(score.high)}]"


def _scores(evaluation: Evaluation) -> Table:
    from rich.table import Table

    title = f"{evaluation.benchmark}, accuracy in %" + (" (a sample)" if evaluation.rows.sampled else "")
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("model", "95% interval", *(baseline.name for baseline in evaluation.baselines), "rows"):
        table.add_column(heading, justify="right")
    for i, score in enumerate(evaluation.scores):
        beside = (percent(baseline.scores[i].value) for baseline in evaluation.baselines)
        name = score.name + ("*" if score.partial else "")
        table.add_row(
            name, percent(score.value), interval(score), *beside, f"{score.n:,}", style="bold" if i == 0 else None
        )
    return table


def _subsets(evaluation: Evaluation) -> Table:
    from rich.table import Table

    table = Table(title_justify="left")
    table.add_column(evaluation.subset_name)
    for heading in ("model", "95% interval", "rows"):
        table.add_column(heading, justify="right")
    for score in evaluation.subsets:
        table.add_row(score.name, percent(score.value), interval(score), f"{score.n:,}")
    return table


def _by_formula(scores: Sequence[Score]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for score in scores:
        names.setdefault(score.formula, []).append(score.name)
    return names
