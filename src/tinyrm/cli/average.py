"""tinyrm average."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import require


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the averaged model.")
def average(runs: tuple[Path, ...], output: Path) -> None:
    """Average the weights of finished RUNS of one recipe (other seeds, same rows) into one model.

    It is judged and calibrated on the rows that the runs held out.
    """
    from ..console import Console

    for module in ("torch", "transformers", "tomli_w"):
        require(module, "train")
    from ..train.average import average as run

    with Console() as console:
        run(runs, output, console)
    click.echo(output)
