"""What storing weights as int8 costs: decisions changed and accuracy lost against float32, into stored_weights.csv.

python benchmarks/stored_weights.py CHECKPOINT FILE_OF_PREFERENCES...
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

import tinyrm
from tinyrm.data import load_preferences
from tinyrm.export.onnx import export_onnx


def main(checkpoint: str, *files: str) -> None:
    preferences = [p for file in files for p in load_preferences(file).preferences if not p.tie]
    pairs = [(p.prompt, p.chosen, p.rejected) for p in preferences]
    logits, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for weights in ("float32", "int8"):
            made = export_onnx(Path(checkpoint), Path(folder) / weights, weights=weights)
            verdicts = tinyrm.load(made.folder).compare_many(pairs)
            logits[weights] = np.asarray([verdict.logit for verdict in verdicts])
            right = (logits[weights] > 0).mean()
            changed = ((logits[weights] > 0) != (logits["float32"] > 0)).mean()
            rows.append((weights, len(pairs), f"{made.size / 1e6:.1f}", f"{100 * right:.2f}", f"{100 * changed:.2f}"))
    header = ("weights", "pairs", "MB", "accuracy %", "decisions changed %")
    with (Path(__file__).parent / "stored_weights.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    for row in (header, *rows):
        print("".join(f"{cell!s:>22}" for cell in row))


if __name__ == "__main__":
    main(*sys.argv[1:])
