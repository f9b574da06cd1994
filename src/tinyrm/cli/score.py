"""tinyrm score."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ..errors import UserError
from .options import bad_rows_option, model_options

if TYPE_CHECKING:
    from ..console import Console
    from ..data import RawRow


@click.command()
@click.argument("source", metavar="IN")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    default="-",
    show_default=True,
    help="A .jsonl file to write; - for standard output.",
)
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

    target = _target(output, source, overwrite)
    judge = load(model, backend=backend)
    faults: list[RawRow] = []
    rows = _telling(read_rows(source), faults)
    judged = score_rows(judge, refuse_bad(rows) if on_bad_row == "refuse" else rows, field=field)
    with Console() as console:
        if target is None:
            total, bad, first = _write(judged, sys.stdout, field, console)
        else:
            partial = target.with_name(target.name + ".partial")
            with partial.open("w", encoding="utf-8") as file:
                total, bad, first = _write(judged, file, field, console)
            if total:
                partial.replace(target)
            else:
                partial.unlink()
        if not total:
            raise UserError(f"{source} holds no rows")
        if bad == total:
            raise UserError(f"no row of {source} could be judged; the first is {first}")
        if faults:
            raise UserError(f"{faults[0].where}: {faults[0].error}; {total - bad:,} rows were judged")
        errors = f", but not {bad:,} of them (see {field}.error), the first at {first}" if bad else ""
        console.notice(f"{total:,} rows judged by {judge.manifest.name}{errors}")


def _telling(rows: Iterable[RawRow], faults: list[RawRow]) -> Iterator[RawRow]:
    """The same rows; those at which a file broke off are also put into `faults`."""
    for row in rows:
        if row.broken:
            faults.append(row)
        yield row


def _target(output: str, source: str, overwrite: bool) -> Path | None:
    if output == "-":
        return None
    target = Path(output)
    if target.suffix not in (".jsonl", ".ndjson"):
        raise UserError(f"the output is JSONL: give -o a name that ends in .jsonl, not {output!r}")
    if target.exists() and not overwrite:
        raise UserError(f"{output} exists: choose another name or --overwrite it")
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise UserError(f"{output} is the input itself: choose another name for the output")
    if not target.parent.is_dir():
        raise UserError(f"no folder {target.parent} to write {target.name} into")
    return target


def _write(judged: Iterable[dict[str, Any]], file: IO[str], field: str, console: Console) -> tuple[int, int, str]:
    """How many rows were written, how many of them could not be judged, and where and why the first."""
    total, bad, first, started = 0, 0, "", time.monotonic()
    for row in judged:
        file.write(_json(row) + "\n")
        total += 1
        if "error" in row[field]:
            bad += 1
            first = first or f"{row[field]['at']}: {row[field]['error']}"
        console.progress("judging", total, None, f"{total / (time.monotonic() - started):,.0f} rows/s")
    file.flush()
    return total, bad, first


def _json(row: dict[str, Any]) -> str:
    """One line of strict JSON: NaN and infinity, which data frames hold and JSON does not know, become null."""
    try:
        return json.dumps(row, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
