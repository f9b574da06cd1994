"""tinyrm compare, tinyrm rank."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError, nearest
from .options import domain_option, json_option, model_options

if TYPE_CHECKING:
    from ..infer import RewardModel

LINE = 72
"""Characters of a response shown in a table."""


@click.command()
@click.option("--prompt", required=True, help="What the responses answer.")
@click.option("--a", required=True, help="One response.")
@click.option("--b", required=True, help="The other response.")
@domain_option
@model_options
@json_option
def compare(prompt: str, a: str, b: str, domain: str | None, model: str | None, backend: Any, as_json: bool) -> None:
    """Which of two responses to a prompt is better."""
    from ..infer import load

    judge = load(model, backend=backend)
    _check_domain(judge, domain)
    verdict = judge.compare(prompt, a, b, domain=domain)
    if as_json:
        click.echo(json.dumps({"model": judge.manifest.name, **verdict.to_dict()}))
        return
    if "pair" in judge.manifest.templates:
        orders = f"A first {verdict.p_a_shown_first:.3f}, B first {verdict.p_a_shown_second:.3f}: "
        orders += "the orders agree" if verdict.agree else "the orders DISAGREE"
    else:
        orders = "each response read alone, so order cannot matter"
    named = {"A": "A is better", "B": "B is better", "tie": "neither is better"}[verdict.better]
    rows = [
        ("verdict", f"[bold]{named}[/bold]"),
        ("P(A is better)", f"{verdict.p_a:.3f}"),
        ("log-odds", f"{verdict.logit:+.3f}"),
        ("orders", orders),
        *_cut_row(verdict.cut),
    ]
    _print_table(None, rows)


@click.command()
@click.option("--prompt", required=True, help="What the candidates answer.")
@click.option(
    "--from",
    "file",
    type=click.File("r", encoding="utf-8-sig", errors="replace"),
    help="Candidates, one a line, or a .jsonl of strings or of objects with a `response`; - for stdin.",
)
@click.argument("candidates", nargs=-1)
@domain_option
@model_options
@json_option
def rank(
    prompt: str,
    file: Any,
    candidates: tuple[str, ...],
    domain: str | None,
    model: str | None,
    backend: Any,
    as_json: bool,
) -> None:
    """Order candidate responses from best to worst (best-of-N)."""
    from ..console import Console
    from ..infer import load

    responses = [*candidates, *(_lines(file) if file else ())]
    if not responses:
        raise UserError("nothing to rank: give candidates as arguments, or a file of them with --from")
    judge = load(model, backend=backend)
    _check_domain(judge, domain)
    with Console(quiet=len(responses) < 200) as console:
        progress = console.counter("ranking", len(responses))
        ranking = judge.rank(prompt, responses, domain=domain, progress=progress)
    if as_json:
        click.echo(json.dumps({"model": judge.manifest.name, "ranking": [place.to_dict() for place in ranking]}))
        return
    rows = [
        (str(place.rank), f"{place.score:+.3f}", str(place.index + 1), _shown(place.response), _cut(place.cut))
        for place in ranking
    ]
    cut = any(place.cut for place in ranking)
    _print_table(("rank", "score", "candidate", "response", "tokens cut")[: 5 if cut else 4], rows)


def _lines(file: Any) -> Iterator[str]:
    """The candidates of a file: a line each, as it stands or, in a .jsonl, as the JSON it is."""
    name = str(getattr(file, "name", ""))  # standard input may have none
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        if not name.endswith(".jsonl"):
            yield line.rstrip("\n")
            continue
        try:
            found = json.loads(line)
        except ValueError as problem:
            raise UserError(f"{name}:{number}: not JSON: {problem}") from None
        text = found.get("response") if isinstance(found, dict) else found
        if not isinstance(text, str):
            raise UserError(
                f"{name}:{number}: a candidate is a JSON string or an object with a `response`; "
                "`tinyrm score` judges files of rows with prompts of their own"
            )
        yield text


def _check_domain(judge: RewardModel, domain: str | None) -> None:
    known = {name for template in judge.manifest.templates.values() for name in template.instructions}
    if domain is not None and domain not in known:
        raise UserError(f"{judge.manifest.name} has no instruction for the domain {domain!r}{nearest(domain, known)}")


def _shown(text: str) -> str:
    """One line of a response, with nothing in it that a terminal or the table would obey."""
    from rich.markup import escape

    line = "".join(c if c.isprintable() else " " for c in text[: 2 * LINE]).strip()
    return escape(line[: LINE - 1] + "…" if len(line) > LINE or len(text) > 2 * LINE else line) or "(empty)"


def _cut(cut: Any) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in cut.items())


def _cut_row(cut: Any) -> list[tuple[str, str]]:
    return [("tokens cut", f"{_cut(cut)} (the middle of what was too long)")] if cut else []


def _print_table(header: tuple[str, ...] | None, rows: list[Any]) -> None:
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(*(header or ("", "")), show_header=header is not None, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row[: len(table.columns)])
    RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False).print(table)
