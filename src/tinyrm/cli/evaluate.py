"""tinyrm eval."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from .options import bad_rows_option, model_options

if TYPE_CHECKING:
    from ..evaluate.paired import Paired


@click.command(name="eval")
@click.argument("benchmark", metavar="BENCHMARK|FILE")
@click.option("--data", help="A local file or folder of the benchmark's rows, instead of the Hub's.")
@click.option("--group", "groups", multiple=True, help="A column of FILE whose values get a score each; repeatable.")
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
@click.option("--blind", is_flag=True, help="Judge every row a second time, under the prompt of another row.")
@click.option("--against", metavar="FOLDER", help="Compare with what another model did on the same rows (its -o).")
@click.option("--seed", default=0, show_default=True, help="Of the sample and the bootstrap.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for evaluation.json, verdicts.jsonl and outcomes.jsonl (no texts).",
)
@click.option("--overwrite", is_flag=True, help="Replace other results in that folder.")
@bad_rows_option
@click.option("--judge", "spec", metavar="SPEC", help="Any judge, in place of --model; docs/judges.md lists them.")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def evaluate(
    benchmark: str,
    data: str | None,
    groups: tuple[str, ...],
    protocol: Any,
    use_domains: bool,
    limit: int | None,
    blind: bool,
    against: str | None,
    seed: int,
    output: Path | None,
    overwrite: bool,
    on_bad_row: Any,
    spec: str | None,
    model: str | None,
    backend: Any,
    as_json: bool,
) -> None:
    """Measure a model on a benchmark or on any FILE of preferences, with 95% intervals.

    Benchmarks: rewardbench, rewardbench2, rm-bench, judgebench, llmbar, pandalm, auto-j, hh, hhh.
    """
    from ..console import Console
    from ..evaluate import evaluate as run
    from ..evaluate import find_benchmark, saved
    from ..evaluate.judges import load_judge
    from ..evaluate.table import render, render_pairs

    if spec is not None and model is not None:
        raise UserError("--judge and --model both say who is measured: give one of them")
    other = saved.load(against) if against else None
    asked = find_benchmark(benchmark, data, groups)
    rows = {"benchmark": asked.name, "path": asked.path, "groups": groups, "limit": limit, "seed": seed}
    if other:
        saved.check_rows(other, rows)
    judge = load_judge(model if spec is None else spec, backend=backend)
    protocol, who = protocol or judge.protocols[0], judge.about
    if output is not None:
        settings = {"protocol": protocol, "use_domains": use_domains}
        saved.check_folder(output, {"model": who, **rows, **settings}, overwrite=overwrite)
    with Console() as console:
        evaluation = run(
            judge,
            benchmark,
            data=data,
            groups=groups,
            protocol=protocol,
            use_domains=use_domains,
            limit=limit,
            blind=blind,
            on_bad_row=on_bad_row,
            progress=partial(console.progress, "judging"),
            seed=seed,
        )
    facts = saved.describe(evaluation, who, cost=judge.cost(), counts=judge.work.counts)
    if output is not None:
        saved.save(output, evaluation, facts)
    pairs: tuple[Paired, ...] = ()
    if other:  # after what was judged is safe: the rows may turn out to be others
        pairs = evaluation.against(other.outcomes)
        facts |= saved.against(other, pairs)
        if output is not None:
            saved.save(output, evaluation, facts)
    if as_json:
        click.echo(json.dumps(facts))
        return
    from rich.console import Console as RichConsole

    console_out = RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False)
    console_out.print(render(evaluation))
    console_out.print(judge.work_done())
    if other:
        console_out.print(render_pairs(pairs, other.facts["model"]["name"]))
