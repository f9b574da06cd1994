"""tinyrm score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..errors import UserError
from .options import bad_rows_option, model_options

if TYPE_CHECKING:
    from ..console import Console
    from ..infer import RewardModel
    from ..scale import Scored


@click.command()
@click.argument("source", metavar="IN")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    default="-",
    show_default=True,
    help="A .jsonl, .jsonl.gz or .parquet file to write; - for JSONL on standard output.",
)
@click.option("--field", default="tinyrm", show_default=True, help="Key of a row that its judgement is put under.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there, and forget an unfinished run.")
@bad_rows_option
@model_options
def score(
    source: str,
    output: str,
    field: str,
    overwrite: bool,
    on_bad_row: Literal["skip", "refuse"],
    model: str | None,
    backend: Any,
) -> None:
    """Judge every row of IN: JSONL (.gz), CSV, Parquet, a folder of these, or - for JSONL on stdin.

    A row with one response gets its reward, with two (chosen and rejected, A and B) a verdict, with
    more a ranking. A row that cannot be judged is written with an error in its place.

    A run that was stopped goes on where it was: give the same command again.
    """
    from ..console import Console
    from ..infer import load
    from ..scale import check_target, score_file, score_stream

    target = None if output == "-" else Path(output)
    if target:
        check_target(target, overwrite=overwrite)
    judge = load(model, backend=backend)
    with Console() as console:
        if target:
            scored = score_file(
                judge, source, target, field=field, on_bad_row=on_bad_row, overwrite=overwrite, watcher=console
            )
        else:
            scored = score_stream(judge, source, sys.stdout.write, field=field, on_bad_row=on_bad_row)
            sys.stdout.flush()
        _tell(scored, judge, field, console)


def _tell(scored: Scored, judge: RewardModel, field: str, console: Console) -> None:
    if scored.broken:
        raise UserError(f"{scored.broken[0]}; {scored.rows - scored.bad:,} rows were judged")
    errors = f", but not {scored.bad:,} of them (see {field}.error), the first at {scored.first_bad}"
    console.notice(f"{scored.rows:,} rows judged by {judge.manifest.name}{errors if scored.bad else ''}")
