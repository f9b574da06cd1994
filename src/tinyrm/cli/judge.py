"""tinyrm compare, tinyrm rank."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError, nearest
from .options import domain_option, json_option, model_options, server_option

if TYPE_CHECKING:
    from ..infer import RewardModel
    from ..serve.client import Client

LINE = 72
"""Characters of a response shown in a table."""


@click.command()
@click.option("--prompt", required=True, help="What the responses answer.")
@click.option("--a", required=True, help="One response.")
@click.option("--b", required=True, help="The other response.")
@domain_option
@model_options
@server_option
@json_option
def compare(
    prompt: str,
    a: str,
    b: str,
    domain: str | None,
    model: str | None,
    backend: Any,
    server: str | None,
    as_json: bool,
) -> None:
    """Which of two responses to a prompt is better."""
    judge, name, templates = _judge(model, backend, server, domain)
    verdict = judge.compare(prompt, a, b, domain=domain)
    if as_json:
        click.echo(json.dumps({"model": name, **verdict.to_dict()}))
        return
    if "pair" in templates:
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
    help="Candidates, one a line (blank ones do not count), or a .jsonl of strings or of objects with a `response`;"
    " - for stdin.",
)
@click.argument("candidates", nargs=-1)
@click.option("--full", is_flag=True, help="A model that only compares pairs compares every pair of a long list too.")
@domain_option
@model_options
@server_option
@json_option
def rank(
    prompt: str,
    file: Any,
    candidates: tuple[str, ...],
    full: bool,
    domain: str | None,
    model: str | None,
    backend: Any,
    server: str | None,
    as_json: bool,
) -> None:
    """Order candidate responses from best to worst (best-of-N).

    A model that reads responses one by one orders them by reward. One that only compares pairs holds a tournament:
    up to 16 candidates all meet each other; more take about (log2 N + 4) N / 2 comparisons, unless --full is given.
    """
    from ..console import Console

    responses = [*candidates, *(_lines(file) if file else ())]
    if not responses:
        raise UserError("nothing to rank: give candidates as arguments, or a file of them with --from")
    judge, name, _ = _judge(model, backend, server, domain)
    options: dict[str, Any] = {"full": full} if server is None else {}
    if full and server is not None:
        raise UserError("--full is for a model that is loaded here: a server has a rule of its own for long lists")
    with Console(quiet=len(responses) < 200) as console:
        progress = console.counter("ranking", len(responses))
        ranking = judge.rank(prompt, responses, domain=domain, progress=progress, **options)
    if as_json:
        click.echo(json.dumps({"model": name, "ranking": [place.to_dict() for place in ranking]}))
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
    if name.endswith((".parquet", ".csv", ".tsv", ".json", ".gz")):
        raise UserError(f"{name} is no list of candidates, one a line, nor .jsonl: `tinyrm score` judges files of rows")
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        if not name.endswith(".jsonl"):
            yield line.rstrip("\n")
            continue
        try:
            found = json.loads(line)
        except ValueError as problem:
            from ..data.rows import json_fault

            raise UserError(f"{name}:{number}: not JSON: {json_fault(problem)}") from None
        text = found.get("response") if isinstance(found, dict) else found
        if not isinstance(text, str):
            raise UserError(
                f"{name}:{number}: a candidate is a JSON string or an object with a `response`; "
                "`tinyrm score` judges files of rows with prompts of their own"
            )
        yield text


def _judge(
    model: str | None, backend: str, server: str | None, domain: str | None
) -> tuple[RewardModel | Client, str, Collection[str]]:
    """The model or the server to ask, the model's name and its kinds of template.

    Raises:
        UserError: it is not there, or does not know the domain.
    """
    judge: RewardModel | Client
    if server is None:
        from ..infer import load

        judge = load(model, backend=backend)  # type: ignore[arg-type]
        name, templates = judge.manifest.name, tuple(judge.manifest.templates)
        domains = {domain for template in judge.manifest.templates.values() for domain in template.instructions}
    else:
        from ..serve.client import Client

        if model is not None or backend != "auto":
            raise UserError("--server has a model of its own: leave out --model and --backend")
        judge = click.get_current_context().with_resource(Client(server, token=os.environ.get("TINYRM_TOKEN")))
        about = judge.about()
        name, templates, domains = about.model, about.templates, set(about.domains)
    if domain is not None and domain not in domains:
        raise UserError(f"{name} has no instruction for the domain {domain!r}{nearest(domain, domains)}")
    return judge, name, templates


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
