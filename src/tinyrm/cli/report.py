"""tinyrm report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The HTML file; the Markdown comes beside it.",
)
@click.option("--title", default="Reward models compared", show_default=True)
@click.option(
    "--mistakes",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Worst mistakes of each run to show with their texts; 0 keeps all text out.",
)
def report(runs: tuple[Path, ...], output: Path, title: str, mistakes: int) -> None:
    """Make one page of evaluations: RUN is a folder that `tinyrm eval -o` wrote.

    Runs on the same rows are set side by side, and the first is compared with each of the others.
    """
    from ..console import Console
    from ..evaluate.report import make_report

    with Console() as console:
        made = make_report(runs, title=title, mistakes=mistakes, progress=partial(console.progress, "writing"))
    for path in made.write(output):
        click.echo(path)
