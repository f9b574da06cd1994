"""What the page's tables hold, as text, for HTML and Markdown alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..paired import Paired
from .runs import Group, Run


@dataclass(frozen=True)
class Table:
    """The first column names the rows; the others hold figures. notes: sentences below. leads: the first row is
    the one that counts.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    leads: bool = False


def headline(group: Group) -> list[tuple[str, str, str]]:
    """(model, figure, what it is) for every run."""
    found = []
    for run in group.runs:
        score = run.facts["scores"][0]
        interval = f"{score['name']}, 95% interval {100 * score['low']:.1f} to {100 * score['high']:.1f}"
        found.append((run.model, f"{100 * score['value']:.1f}%", interval))
    return found


def scores(group: Group) -> Table:
    """Every score of every run with its interval, beside the baselines of the first."""
    judges = [(run.model, run.facts["scores"]) for run in group.runs]
    judges += [(baseline["name"], baseline["scores"]) for baseline in group.first["baselines"]]
    judges += [(f"{run.model}, {b['name']}", b["scores"]) for run in group.runs if (b := run.facts["blind"])]
    rows = []
    for i, score in enumerate(group.first["scores"]):
        name = score["name"] + ("*" if score["partial"] else "")
        rows.append((name, *(_score(judged[i]) for _, judged in judges), f"{score['n']:,}"))
    notes = [f"{', '.join(names)}: {formula}." for formula, names in _by_formula(group.first["scores"]).items()]
    if any(score["partial"] for score in group.first["scores"]):
        notes.append("* over the subsets that are there.")
    if any(score["widened"] for _, judged in judges for score in judged):
        notes.append("† where all rows of a subset came out alike, Wilson's allowance for what was not seen is added.")
    head = ("", *(name for name, _ in judges), "rows")
    return Table("Accuracy in %, with 95% intervals", head, tuple(rows), tuple(notes), leads=True)


def subsets(group: Group) -> Table | None:
    """None where there is one subset alone."""
    if len(group.first["subsets"]) < 2:
        return None
    by_name = [{score["name"]: score for score in run.facts["subsets"]} for run in group.runs]
    rows = tuple(
        (
            score["name"],
            # A judge may leave a subset nothing to average.
            *(_score(scores[score["name"]]) if score["name"] in scores else "" for scores in by_name),
            f"{score['n']:,}",
        )
        for score in group.first["subsets"]
    )
    return Table(f"By {group.first['subset_name']}", ("", *(run.model for run in group.runs), "rows"), rows)


def differences(one: Run, other: Run, pairs: Sequence[Paired]) -> Table:
    """One run minus another, in points."""
    rows = tuple(
        (
            pair.name,
            f"{100 * pair.difference.value:+.1f} [{100 * pair.difference.low:+.1f}, {100 * pair.difference.high:+.1f}]",
            f"{pair.better:,}",
            f"{pair.worse:,}",
            f"{pair.p:.3g}",
            "" if pair.p_holm is None else f"{pair.p_holm:.3g}",
        )
        for pair in pairs
    )
    head = ("", "points, 95% interval", "prompts better", "worse", "p", "p (Holm)")
    note = "p: McNemar's exact test, a prompt counting once; Holm: corrected for looking at all sections."
    return Table(f"{one.model} minus {other.model}, paired", head, rows, (note,), leads=True)


def trust(group: Group) -> Table:
    """Calibration and the audits, a row for each run."""
    rows = []
    for run in group.runs:
        calibration, audits = run.facts["calibration"], run.facts["audits"]
        rows.append(
            (
                run.model,
                f"{100 * calibration['ece']:.1f}",
                f"{calibration['brier']:.3f}",
                f"{calibration['log_loss']:.3f}",
                f"{100 * run.facts['orders_agree']:.1f}",
                _share(audits["position"], "first_named"),
                _lean(audits["length"]),
                _lean(audits["style"]),
            )
        )
    order = ("orders agree, %", "first shown named, %")
    head = ("", "ECE, points", "Brier", "log loss", *order, "longer named, %", "more markdown named, %")
    notes = (
        "ECE: mean gap between how sure verdicts are and how often they are right. Brier: 0.25 without an opinion; "
        "log loss: 0.693.",
        "Named, with the share that is labelled better in brackets: above it the judge leans towards such responses.",
    )
    return Table("How far the probabilities can be trusted, and what else moves them", head, tuple(rows), notes)


def cost(group: Group) -> Table | None:
    """None where no run tells its cost."""
    columns = {
        "gflops_per_response": ("GFLOPs a response", "{:,.3g}"),
        "gflops_per_token": ("GFLOPs a token", "{:,.3g}"),
        "tokens_per_response": ("tokens a response", "{:,.0f}"),
        "pairs_per_second": ("pairs a second", "{:,.1f}"),
        "tokens_per_second": ("tokens a second", "{:,.0f}"),
        "peak_memory_mb": ("peak memory, MB", "{:,.0f}"),
    }
    costs = [(run.model, run.facts.get("cost")) for run in group.runs]
    if not any(cost for _, cost in costs):
        return None
    rows = tuple(
        (
            model,
            *(
                "" if not cost or cost.get(key) is None else form.format(cost[key])
                for key, (_, form) in columns.items()
            ),
        )
        for model, cost in costs
    )
    note = "Operations by formula (matrix products, a multiplication and an addition each one), the rest as measured."
    return Table("What a judgement costs", ("", *(title for title, _ in columns.values())), rows, (note,))


def about(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Who was measured."""
    keys = list(dict.fromkeys(key for facts in models.values() for key in facts if key != "name"))
    rows = tuple((name, *(_short(facts.get(key)) for key in keys)) for name, facts in models.items())
    return Table("Who was measured", ("", *(key.replace("_", " ") for key in keys)), rows)


def footing(run: Run) -> list[str]:
    """On what a run's figures stand, one sentence each."""
    facts, rows = run.facts, run.facts["rows"]
    compared = "" if rows["comparisons"] == rows["judged"] else f" in {rows['comparisons']:,} comparisons"
    told = "told each row's domain" if facts["use_domains"] else "not told the domain"
    read = {"single": "each response read alone, ", "pair": "both responses in one context, "}
    how = f"{read.get(facts['protocol'], '')}{told}, seed {facts['seed']}"
    lines = [f"{run.model}: {rows['judged']:,} rows{compared} of {facts['path']}, {how}."]
    if rows["judged"] < rows["available"]:
        lines.append(f"A sample: {rows['judged']:,} of {rows['available']:,} rows, of every subset in proportion.")
    if rows["unscored"]:
        lines.append(f"{rows['unscored']:,} rows are labelled ties and in no score.")
    if rows["called_ties"]:
        lines.append(f"{rows['called_ties']:,} were called a tie.")
    if rows["cut"]:
        lines.append(f"{rows['cut']:,} were cut to fit the model's length.")
    if rows["skipped"]:
        lines.append(f"{len(rows['skipped']):,} unreadable rows were skipped; the first: {rows['skipped'][0]}.")
    if gaps := facts["missing"]:
        named = ", ".join(f"{gap['subset']} ({gap['found']} of {gap['expected']})" for gap in gaps[:8])
        lines.append(f"Missing rows: {named}{f' and {len(gaps) - 8} more subsets' if len(gaps) > 8 else ''}.")
    return lines + [f"{note}." for note in facts["notes"]]


def _score(score: Mapping[str, Any]) -> str:
    mark = "†" if score["widened"] else ""
    return f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]{mark}"


def _share(audit: Mapping[str, float] | None, key: str) -> str:
    return "same in both orders" if audit is None else f"{100 * audit[key]:.1f}"


def _lean(lean: Mapping[str, Any] | None) -> str:
    return "" if lean is None else f"{100 * lean['named']['value']:.1f} ({100 * lean['labelled']:.1f})"


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text[:12] if len(text) == 64 else text


def _by_formula(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for score in found:
        names.setdefault(score["formula"], []).append(score["name"])
    return names
