"""tinyrm eval."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from .options import bad_rows_option, model_options


@click.command(name="eval")
@click.argument("benchmark", metavar="BENCHMARK|FILE")
@click.option("--data", help="A local file of the benchmark's rows, instead of the Hub's.")
@click.option(
    "--protocol",
    type=click.Choice(["single", "pair"]),
    help="Each response alone, or both in one context; default: what the model was trained for.",
)
@click.option(
    "--domains/--no-domains",
    "use_domains",
    default=False,
    help="Tell the model each row's domain, as the paper does; the leaderboard does not.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Judge a sample of so many rows, of every subset in proportion."
)
@click.option("--seed", default=0, show_default=True, help="Of the sample and the bootstrap.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for metrics.json and verdicts.jsonl (no texts)."
)
@bad_rows_option
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def evaluate(
    benchmark: str,
    data: str | None,
    protocol: Any,
    use_domains: bool,
    limit: int | None,
    seed: int,
    output: Path | None,
    on_bad_row: Any,
    model: str | None,
    backend: Any,
    as_json: bool,
) -> None:
    """Measure a model on a benchmark (rewardbench) or on any FILE of preferences, with 95% intervals."""
    from ..console import Console
    from ..evaluate import evaluate as run
    from ..evaluate.table import render
    from ..infer import load
    from ..model.checkpoint import write_json

    judge = load(model, backend=backend)
    protocol = protocol or ("pair" if "pair" in judge.manifest.templates else "single")
    with Console() as console:
        evaluation = run(
            judge,
            benchmark,
            data=data,
            protocol=protocol,
            use_domains=use_domains,
            limit=limit,
            on_bad_row=on_bad_row,
            progress=partial(console.progress, "judging"),
            seed=seed,
        )
    facts = {"model": judge.manifest.name, **evaluation.to_dict()}
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / "metrics.json", facts)
        evaluation.judged.save(output / "verdicts.jsonl")
    if as_json:
        click.echo(json.dumps(facts))
        return
    from rich.console import Console as RichConsole

    RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False).print(render(evaluation))
