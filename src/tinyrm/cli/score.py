"""tinyrm score."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..errors import UserError
from .options import bad_rows_option, model_options

if TYPE_CHECKING:
    from ..console import Console
    from ..infer import RewardModel
    from ..scale import Judge, Scored
    from ..scale.ray_cluster import RayCluster


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
@click.option("--shard-rows", type=click.IntRange(1), help="Make OUT a folder of files with so many rows each.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where rows are judged: in this process, or by workers of Ray, one for each core or GPU.",
)
@click.option("--ray-address", metavar="ADDRESS", help="A running Ray cluster; else RAY_ADDRESS, else this machine.")
@click.option("--ray-workers", type=click.IntRange(1), help="How many workers of Ray; else all that the cluster holds.")
@bad_rows_option
@model_options
def score(
    source: str,
    output: str,
    field: str,
    overwrite: bool,
    shard_rows: int | None,
    engine: Literal["local", "ray"],
    ray_address: str | None,
    ray_workers: int | None,
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
    from ..scale import check_target, score_file, score_stream

    target = None if output == "-" else Path(output)
    if target:
        check_target(target, overwrite=overwrite)
    elif shard_rows:
        raise UserError("--shard-rows is for a file: give -o")
    if engine == "local" and (ray_address or ray_workers):
        raise UserError("--ray-address and --ray-workers are for --engine ray")
    with Console() as console, contextlib.ExitStack() as open_until_done:
        judge: RewardModel | RayCluster
        judging = None
        if engine == "ray":
            judge = open_until_done.enter_context(_cluster(model, backend, ray_address, ray_workers, console))
            judging = judge.judge
        else:
            from ..infer import load

            judge = load(model, backend=backend)
        if target:
            scored = score_file(
                judge,
                source,
                target,
                field=field,
                on_bad_row=on_bad_row,
                overwrite=overwrite,
                shard_rows=shard_rows,
                watcher=console,
                judging=judging,
            )
        else:
            scored = score_stream(judge, source, sys.stdout.write, field=field, on_bad_row=on_bad_row, judging=judging)
            sys.stdout.flush()
        _tell(scored, judge, field, console)


@contextlib.contextmanager
def _cluster(
    model: str | None, backend: Any, address: str | None, workers: int | None, console: Console
) -> Iterator[RayCluster]:
    from ..scale.ray_cluster import RayCluster

    with RayCluster(model, backend=backend, address=address, workers=workers) as cluster:
        console.notice(f"judging with {cluster.describe()}")
        yield cluster


def _tell(scored: Scored, judge: Judge, field: str, console: Console) -> None:
    if scored.broken:
        raise UserError(f"{scored.broken[0]}; {scored.rows - scored.bad:,} rows were judged")
    name, rows = judge.manifest.name, f"{scored.rows:,} row{'' if scored.rows == 1 else 's'}"
    if scored.bad:
        where = f"see {field}.error, the first at {scored.first_bad}"
        console.notice(f"{scored.rows - scored.bad:,} of {rows} judged by {name}, {scored.bad:,} could not be: {where}")
    else:
        console.notice(f"{rows} judged by {name}")
