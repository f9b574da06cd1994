"""How much of the machine the engine uses, and what a token costs at every length, into engine-SHAPE.csv and .png.

python benchmarks/engine.py [--shape minilm|modernbert-base] [--rounds 3]

Clozes of one length each, by every back-end, beside the best float32 product of torch: all as operations a second,
those of the clozes by the formula of tinyrm.evaluate.cost. Each in its own process, rounds interleaved.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from contest import LEVER, OTHER, OURS, publish, rounds
from scoring import models

PRODUCT = (4096, 1536, 1536)
LENGTHS = (32, 64, 128, 256, 512)
FORMS = {"torch": "checkpoint", "onnx": "float32", "openvino": "float32"}
SECONDS = 6.0


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Operations done, in units of 10^9, and the seconds that they took."""
    if name == "product":
        import torch

        rows, inner, columns = PRODUCT
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        seconds = min(timed(lambda: torch.mm(left, right)))
        return {"work": 2e-9 * rows * inner * columns, "seconds": seconds, "peak_mib": 0}
    import tinyrm
    from tinyrm.evaluate.cost import architecture_of, flops

    backend, length = name.rsplit(" ", 1)
    engine = tinyrm.load(folder / FORMS[backend], backend=backend).backend
    rows, size = max(1, engine.tokens_per_batch // int(length)), int(length)
    ids = np.random.default_rng(0).integers(1000, 30000, (rows, size))
    mask, slots = np.ones_like(ids), np.full(rows, size - 2)
    seconds = float(np.median(timed(lambda: engine.logits(ids, mask, slots))))
    config = architecture_of(json.loads((folder / "checkpoint" / "config.json").read_text("utf-8")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"work": rows * flops(config, size) / 1e9, "seconds": seconds, "peak_mib": peak}


def timed(run: Any) -> list[float]:
    """Seconds of as many runs as fit, without the first two."""
    found: list[float] = []
    while len(found) < 5 or sum(found) < SECONDS:
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return found[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=("minilm", "modernbert-base"), default="minilm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(measure(asked.worker, asked.folder)))
        return
    if asked.folder:
        models(asked.folder, asked.shape)
        return
    what = {
        "product": f"torch, float32 product of {' x '.join(map(str, PRODUCT))}, the best of many: the machine's peak"
    }
    what |= {f"{backend} {n}": f"clozes of {n} tokens by {backend}, float32" for backend in FORMS for n in LENGTHS}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *sys.argv, "--folder", folder], check=True)

        def command(name: str) -> list[str]:
            return [sys.executable, __file__, "--shape", asked.shape, "--folder", folder, "--worker", name]

        found = rounds(asked.rounds, list(what), command, "GFLOP")
    shades = {"torch": OURS, "onnx": LEVER, "openvino": "#61a5c2"}
    colour = {name: shades.get(name.split(" ")[0], OTHER) for name in what}
    publish("engine", asked.shape, "GFLOP", found, what, colour)


if __name__ == "__main__":
    main()
