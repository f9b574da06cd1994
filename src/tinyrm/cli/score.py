"""tinyrm score."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click

from ..errors import UserError
from .options import bad_rows_option, model_options


@click.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", metavar="OUT", default="-", show_default=True, help="A .jsonl file to write; - for standard output.")
@click.option("--field", default="tinyrm", show_default=True, help="Key of a row that its judgement is put under.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there.")
@bad_rows_option
@model_options
def score(
    source: str, output: str, field: str, overwrite: bool, on_bad_row: str, model: str | None, backend: Any
) -> None:
    """Judge every row of IN: JSONL (.gz), CSV, Parquet, a folder of these, or - for JSONL on stdin.

    A row with one response gets its reward, with two (chosen and rejected, A and B) a verdict, with
    more a ranking. A row that cannot be judged is written with an error in its place.
    """
    from ..console import Console
    from ..data import read_rows
    from ..infer import load
    from ..infer.scoring import refuse_bad, score_rows

    target = _target(output, overwrite)
    judge = load(model, backend=backend)
    rows = read_rows(source)
    judged = score_rows(judge, refuse_bad(rows) if on_bad_row == "refuse" else rows, field=field)
    with Console() as console:
        if target is None:
            total, bad = _write(judged, sys.stdout, field, console)
        else:
            partial = target.with_name(target.name + ".partial")
            with partial.open("w", encoding="utf-8") as file:
                total, bad = _write(judged, file, field, console)
            partial.replace(target)
        if not total:
            raise UserError(f"{source} holds no rows")
        errors = f", {bad:,} of them could not be judged: see their {field}.error" if bad else ""
        console.notice(f"{total:,} rows judged by {judge.manifest.name}{errors}")
    if bad == total:
        raise UserError(f"no row of {source} could be judged: see {field}.error in the output")


def _target(output: str, overwrite: bool) -> Path | None:
    if output == "-":
        return None
    target = Path(output)
    if target.suffix not in (".jsonl", ".ndjson"):
        raise UserError(f"the output is JSONL: give -o a name that ends in .jsonl, not {output!r}")
    if target.exists() and not overwrite:
        raise UserError(f"{output} exists: choose another name or --overwrite it")
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} to write {target.name} into")
    return target


def _write(judged: Iterable[dict[str, Any]], file: IO[str], field: str, console: Any) -> tuple[int, int]:
    total = bad = 0
    for row in judged:
        file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        total += 1
        bad += "error" in row[field]
        if total % 1000 == 0:
            console.notice(f"{total:,} rows")
    file.flush()
    return total, bad
