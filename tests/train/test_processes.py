"""Several processes descend the same losses as one, over the same global batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tinyrm.model.checkpoint import METRICS, WEIGHTS
from tinyrm.train.folder import LOG, write_recipe
from tinyrm.train.run import train

ACCELERATE = ("accelerate.commands.launch", "--cpu", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no")
SHARDED = Path(__file__).with_name("sharded.py")
LAUNCH = {
    "ddp": (*ACCELERATE, "--num_processes=2", "--main_process_port=0", "-m", "tinyrm"),
    "fsdp": (
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        str(Path(__file__).with_name("sharded.py")),
    ),
}


def launched(kind: str, path, output) -> None:
    """Trains in two processes that talk over gloo."""
    command = [sys.executable, "-m", *LAUNCH[kind], "train", str(path), f"output={output}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TINYRM_DEBUG": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def log(folder) -> list:
    return [json.loads(line) for line in (folder / LOG).read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("kind", "overrides"),
    [
        ("ddp", ("model.frozen=1",)),
        ("fsdp", ("model.adapter.kind=dora", "model.adapter.rank=4")),
        pytest.param("fsdp", ("model.frozen=1", "train.checkpoint_minutes=0"), marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_losses_of_one(recipe, notes, tmp_path, kind, overrides):
    # 7 preferences a step, so that the shares differ; a last batch of 6 or less too
    usual = (
        "train.batch_size=7",
        "train.tokens_per_batch=200",
        "train.epochs=1",
        "train.evaluations=2",
        "train.lr=1e-3",
    )
    one = recipe(*usual, *overrides, f"output={tmp_path / 'one'}")
    path = tmp_path / "recipe.toml"
    write_recipe(path, one)
    train(one, notes)
    launched(kind, path, tmp_path / "two")
    alone, together = log(tmp_path / "one"), log(tmp_path / "two")
    for key in ("step", "tokens", "preferences", "lr"):
        assert [step[key] for step in alone] == [step[key] for step in together]
    np.testing.assert_allclose([step["loss"] for step in alone], [step["loss"] for step in together], atol=2e-4)
    found = [json.loads((tmp_path / name / METRICS).read_text("utf-8"))["validation"] for name in ("one", "two")]
    assert found[0]["log_loss"] == pytest.approx(found[1]["log_loss"], abs=1e-3)
    weights = [load_file(tmp_path / name / WEIGHTS) for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
