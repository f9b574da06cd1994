"""tinyrm export."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from ..errors import UserError


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the exported model.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "classifier"]),
    default="onnx",
    show_default=True,
    help="onnx: for TinyRM without torch; classifier: for transformers, TRL, sentence-transformers and rewardbench.",
)
@click.option(
    "--weights",
    type=click.Choice(["int8", "float32", "int8-arithmetic"]),
    help="How ONNX weights are stored (default int8); arithmetic is float32, but for int8-arithmetic, which is faster "
    "and less exact.",
)
@click.option("--domain", help="Whose instruction a classifier asks with: chat, safety or reasoning; else the general.")
def export(checkpoint: Path, output: Path, form: Literal["onnx", "classifier"], weights: Any, domain: Any) -> None:
    """Turn the trained CHECKPOINT into an ONNX one that needs no torch, or into a plain classifier."""
    if form == "classifier":
        if weights:
            raise UserError("--weights is for --format onnx: a classifier's are float32")
        from ..export.classifier import export_classifier

        done, what = export_classifier(checkpoint, output, domain=domain), "rewards within {} of the checkpoint's"
    else:
        if domain:
            raise UserError("--domain is for --format classifier: an ONNX model keeps every instruction")
        from ..export.onnx import export_onnx

        done, what = export_onnx(checkpoint, output, weights=weights or "int8"), "logits within {} of torch's"
    click.echo(f"{done.folder}: {done.size / 1e6:.1f} MB, {what.format(f'{done.difference:.2g}')}")
