"""tinyrm export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the exported model.")
@click.option(
    "--weights",
    type=click.Choice(["int8", "float32", "int8-arithmetic"]),
    default="int8",
    show_default=True,
    help="How weights are stored; arithmetic is float32, but for int8-arithmetic, which is faster and less exact.",
)
def export(checkpoint: Path, output: Path, weights: Any) -> None:
    """Turn the trained CHECKPOINT into an ONNX one that needs no torch."""
    from ..export.onnx import export_onnx

    done = export_onnx(checkpoint, output, weights=weights)
    click.echo(f"{done.folder}: {done.size / 1e6:.1f} MB, logits within {done.difference:.2g} of torch's")
