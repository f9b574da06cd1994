"""tinyrm sweep."""

from __future__ import annotations

import click

from ..errors import require


@click.command()
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--trials", type=click.IntRange(min=1), help="Trials that the study is to hold in the end.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that share it.")
def sweep(recipe: str, overrides: tuple[str, ...], trials: int | None, workers: int) -> None:
    """Search the settings of RECIPE (a TOML file) for those that judge its held-out pairs best.

    The same command goes on with a sweep that was stopped, and joins one that runs.
    """
    from ..config import load_recipe
    from ..console import Console

    more = () if trials is None else (f"sweep.trials={trials}",)
    resolved = load_recipe(recipe, (*overrides, *more))
    for module in ("torch", "transformers", "accelerate", "optuna", "tomli_w"):
        require(module, "train")
    from ..study.sweep import sweep as run

    with Console() as console:
        best = run(resolved, console, workers=workers)
    click.echo(best)
