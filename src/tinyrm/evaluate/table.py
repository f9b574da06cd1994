"""An evaluation as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .audits import Lean
from .bootstrap import Score
from .evaluation import Evaluation
from .paired import Paired

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

FEW = 8
"""Subsets with missing rows that are named one by one."""


def render(evaluation: Evaluation) -> RenderableType:
    """Scores beside the two baselines, subsets, and every fact needed to read them, for `console.print`.

    Subsets that all have a line among the scores get no table of their own.
    """
    from rich.console import Group
    from rich.text import Text

    lines = [Text(line) for line in facts(evaluation)]
    tables = [_scores(evaluation)]
    shown = {name for statistic in evaluation.statistics if len(statistic.weights) == 1 for name in statistic.weights}
    if not evaluation.folded and any(subset.name not in shown for subset in evaluation.subsets):
        tables.append(_subsets(evaluation))
    return Group(*tables, *lines)


def render_pairs(pairs: Sequence[Paired], other: str) -> RenderableType:
    """One judge against another, for `console.print`."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"minus {other}, in points", title_justify="left")
    table.add_column("")
    for heading in ("difference", "95% interval", "prompts better", "worse", "p", "p (Holm)"):
        table.add_column(heading, justify="right")
    for pair in pairs:
        gap = pair.difference
        table.add_row(
            pair.name,
            f"{100 * gap.value:+.1f}",
            f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]",
            f"{pair.better:,}",
            f"{pair.worse:,}",
            f"{pair.p:.3g}",
            "" if pair.p_holm is None else f"{pair.p_holm:.3g}",
        )
    says = "p: McNemar's exact test, a prompt counting once; Holm: corrected for looking at all sections."
    return Group(table, Text(says))


def facts(evaluation: Evaluation) -> list[str]:
    """What the figures mean and what stands behind them, one sentence a line."""
    lines = [f"{', '.join(names)}: {formula}." for formula, names in _by_formula(evaluation.scores).items()]
    if any(score.widened for score in (*evaluation.scores, *evaluation.subsets)):
        lines.append("† where all rows of a subset came out alike, Wilson's allowance for what was not seen is added.")
    for other in (*evaluation.baselines, *([evaluation.blind] if evaluation.blind else [])):
        gap = other.differences[0]
        lines.append(
            f"{gap.name} minus {other.name!r}: {100 * gap.value:+.1f} points "
            f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}], paired."
        )
    lines += _how_it_went(evaluation) + _audits(evaluation) + _what_was_read(evaluation)
    if any(score.partial for score in evaluation.scores):
        lines.append("* over the subsets that are there.")
    return lines + [f"{note}." for note in evaluation.notes]


def percent(value: float) -> str:
    """A share in percent with one decimal, without its sign."""
    return f"{100 * value:.1f}"


def interval(score: Score) -> str:
    return f"[{percent(score.low)}, {percent(score.high)}]" + ("†" if score.widened else "")


def _how_it_went(evaluation: Evaluation) -> list[str]:
    rows, trust = evaluation.rows, evaluation.calibration
    compared = "" if _what(evaluation) == "rows" else f" ({rows.comparisons:,} comparisons)"
    lines = [
        f"{rows.judged:,} rows{compared} in {evaluation.seconds:.1f} s. Calibration error {percent(trust.ece)}%, "
        f"Brier {trust.brier:.3f}, log loss {trust.log_loss:.3f}."
    ]
    if evaluation.protocol != "single":
        agree = percent(evaluation.orders_agree)
        lines.append(f"Both orders of a pair name the same side in {agree}% of the {_what(evaluation)}.")
    return lines


def _what(evaluation: Evaluation) -> str:
    """What is judged one by one: a row may make several comparisons."""
    return "rows" if evaluation.rows.comparisons == evaluation.rows.judged else "comparisons"


def _count(n: int, what: str = "rows") -> str:
    return f"{n:,} {what if n != 1 else what[:-1]}"


def _what_was_read(evaluation: Evaluation) -> list[str]:
    """Of the rows: which were there, and which count for less than others."""
    rows, lines, what = evaluation.rows, [], _what(evaluation)
    if rows.sampled:
        lines.append(f"A SAMPLE: {rows.judged:,} of {rows.available:,} rows, of every subset in proportion.")
    if rows.unscored:
        lines.append(f"{_count(rows.unscored)} labelled a tie: neither right nor wrong, in no score.")
    elif rows.tied:
        lines.append(f"{_count(rows.tied)} labelled a tie: right where the judge calls a tie.")
    if rows.called_ties:
        half = any("half right" in score.formula for score in evaluation.scores)
        called = "half right" if half else "credited as the formula says"
        lines.append(f"{_count(rows.called_ties, what)} called a tie by the judge: {called}.")
    if rows.cut:
        lines.append(f"{_count(rows.cut, what)} cut to fit the model's length.")
    if rows.skipped:
        lines.append(f"SKIPPED: {_count(len(rows.skipped))} that could not be read; the first: {rows.skipped[0]}")
    if evaluation.missing:
        lines.append(_missing(evaluation))
    return lines


def _audits(evaluation: Evaluation) -> list[str]:
    audits, what, lines = evaluation.audits, _what(evaluation), []
    if where := audits.position:
        lines.append(
            f"Position: what is shown first is named in {percent(where.first_named)}% of showings; both orders name "
            f"the first in {percent(where.both_first)}% of {what}, the second in {percent(where.both_second)}%."
        )
    return lines + [_lean(lean, what) for lean in (audits.length, audits.style) if lean]


def _lean(lean: Lean, what: str) -> str:
    line = (
        f"More {lean.feature}: named in {percent(lean.named.value)}% {interval(lean.named)} of {_count(lean.n, what)}, "
        f"better in {percent(lean.labelled)}%."
    )
    if lean.balanced and lean.accuracy_more and lean.accuracy_less:
        line += (
            f" Accuracy {percent(lean.accuracy_more.value)}% where more is better, "
            f"{percent(lean.accuracy_less.value)}% where less is; balanced {percent(lean.balanced.value)}%."
        )
    return line


def _missing(evaluation: Evaluation) -> str:
    gaps = evaluation.missing
    named = ", ".join(f"{gap.subset} ({gap.found} of {gap.expected})" for gap in gaps[:FEW])
    if len(gaps) <= FEW:
        return f"MISSING rows: {named}."
    total = sum(gap.expected - gap.found for gap in gaps)
    return f"MISSING rows: {named}, and of {len(gaps) - FEW} more subsets; {total:,} rows in all."


def _scores(evaluation: Evaluation) -> Table:
    from rich.table import Table

    title = f"{evaluation.benchmark}, accuracy in %" + (" (a sample)" if evaluation.rows.sampled else "")
    table = Table(title=title, title_justify="left")
    table.add_column("")
    beside = [*evaluation.baselines, *([evaluation.blind] if evaluation.blind else [])]
    for heading in ("model", "95% interval", *(other.name for other in beside), "rows"):
        table.add_column(heading, justify="right")
    for i, score in enumerate(evaluation.scores):
        name = score.name + ("*" if score.partial else "")
        table.add_row(
            name,
            percent(score.value),
            interval(score),
            *(percent(other.scores[i].value) for other in beside),
            f"{score.n:,}",
            style="bold" if i == 0 else None,
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
