"""One training step at MiniLM's shape: DoRA beside LoRA and peft's, and the share of the machine's peak that full
tuning reaches, into step.csv; and full tuning in bfloat16 where the CPU has instructions for it.

python benchmarks/step.py [ROUNDS, 6]

All steps take the same packed batch in one process, turn by turn; figures are medians. The share counts the operations
of matrix products (attention's as well, and twice that backward), against the best float32 product measured in between.
"""

from __future__ import annotations

import csv
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from training import RANK, clozes, masked_lm

from tinyrm.config import AdapterConfig
from tinyrm.model.adapters import adaptable, add_adapters
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.train.batches import Batch, Feed
from tinyrm.train.examples import Examples
from tinyrm.train.precision import in_bfloat16

PAIRS = 8
HALF = ", bfloat16"
PRODUCT = (4096, 1536, 1536)


def batch() -> Batch:
    texts = clozes(PAIRS, 30_000)
    starts = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    slots = np.asarray([len(text) - 2 for text in texts])
    ones = np.ones(PAIRS, np.float32)
    examples = Examples(np.concatenate(texts).astype(np.int32), starts, slots, ones, 0 * ones)
    return Feed(examples, packs=True, pad=0).batch(np.arange(PAIRS))


def stepper(name: str, given: Batch) -> Callable[[], None]:
    """A full optimiser step of one kind."""
    name, half, _ = name.partition(HALF)
    model = ClozeModel(masked_lm("minilm"), (5, 6))
    if name.startswith("peft"):
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=RANK, lora_alpha=RANK, use_dora="dora" in name, target_modules=list(adaptable(model)))
        inject_adapter_in_model(config, model.masked_lm)
    else:
        add_adapters(model, AdapterConfig("none" if name == "full" else name, rank=RANK))  # type: ignore[arg-type]
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(half)):
            logits = model(given.ids, given.layout)
        torch.nn.functional.softplus(logits[:, 1] - logits[:, 0]).mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def main(rounds: int) -> None:
    given = batch()
    rows, inner, columns = PRODUCT
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    halves = ["dora" + HALF, "full" + HALF] if in_bfloat16("bfloat16", torch.device("cpu")) else []
    steps = {name: stepper(name, given) for name in ("lora", "dora", "full", *halves, "peft lora", "peft dora")}
    steps["product"] = lambda: torch.mm(left, right)
    with FlopCounterMode(display=False) as counter:
        steps["full"]()
    linear = sum(n for op, n in counter.get_flop_counts()["Global"].items() if not re.search("attention|bmm", str(op)))
    layers = 5  # in the last one the slot alone attends
    flops = {
        "full": linear + 3 * 4 * 384 * layers * sum(length**2 for length in given.layout.lengths),
        "product": 2 * rows * inner * columns,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            for _ in range(5 if name == "product" else 1):
                started = time.perf_counter()
                step()
                if round_:  # the first warms up
                    seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    peak = flops["product"] / min(seconds["product"]) / 1e9
    header = ("step", "tokens/s", "time over LoRA's", "GFLOP/s", "% of the peak")
    table = []
    for name, value in median.items():
        rate = flops[name] / value / 1e9 if name in flops else None
        table.append(
            (
                name,
                "" if name == "product" else f"{given.tokens / value:.0f}",
                "" if name == "product" else f"{value / median['lora']:.2f}",
                "" if rate is None else f"{rate:.0f}",
                "" if rate is None else f"{100 * rate / peak:.0f}",
            )
        )
    table.append(("best product", "", "", f"{peak:.0f}", "100"))
    with (Path(__file__).parent / "step.csv").open("w", newline="") as out:
        csv.writer(out).writerows([header, *table])
    for row in (header, *table):
        print("".join(f"{cell:>18}" for cell in row))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
