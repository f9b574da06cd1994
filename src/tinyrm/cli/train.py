"""tinyrm train."""

from __future__ import annotations

import click

from ..errors import require


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a finished model in the output folder, or an unfinished run of another recipe.",
)
def train(recipe: str, overrides: tuple[str, ...], overwrite: bool) -> None:
    """Train by RECIPE (a TOML file), with keys set anew as in train.lr=1e-4 or output=runs/mine.

    A run that was killed goes on when the same command is given again.
    """
    from ..config import load_recipe
    from ..console import Console

    resolved = load_recipe(recipe, overrides)
    for module in ("torch", "transformers", "accelerate", "tomli_w"):
        require(module, "train")
    from ..train.run import train as run

    with Console() as console:
        outcome = run(resolved, console, overwrite=overwrite)
    click.echo(outcome.folder)
