"""tinyrm ablate."""

from __future__ import annotations

import sys

import click

from ..errors import require


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--seeds", type=click.IntRange(min=1), help="Runs of the recipe and of each variant; ablation.seeds.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="An ingredient, or one variant; may be repeated. ablation.ingredients.",
)
def ablate(recipe: str, overrides: tuple[str, ...], seeds: int | None, only: tuple[str, ...]) -> None:
    """Show what each ingredient of RECIPE is worth: train it beside recipes that differ in one.

    The table and the picture come into the recipe's folder; called again, a study that was stopped goes on.
    """
    from dataclasses import replace

    from ..config import load_recipe
    from ..console import Console

    resolved = load_recipe(recipe, overrides)
    asked = replace(
        resolved.ablation, seeds=seeds or resolved.ablation.seeds, ingredients=only or resolved.ablation.ingredients
    )
    for module in ("torch", "transformers", "accelerate"):
        require(module, "train")
    from ..study.ablate import ablate as run
    from ..study.ablation_table import render

    with Console() as console:
        ablation = run(replace(resolved, ablation=asked), console)
    from rich.console import Console as RichConsole

    RichConsole(width=None if sys.stdout.isatty() else 120, highlight=False).print(render(ablation))
    click.echo(resolved.folder)
