from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tinyrm.model.checkpoint import WEIGHTS
from tinyrm.train import precision
from tinyrm.train.run import train

QUICK = ("train.epochs=0.5", "train.evaluations=1")


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("cuda", lambda able: [True, False, True]),
        ("cpu", lambda able: [False, False, able]),
        ("mps", lambda able: [False] * 3),
    ],
)
def test_what_computes_in_bfloat16(monkeypatch, device, expected, able):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: able)
    wanted = ("auto", "float32", "bfloat16")
    assert [precision.in_bfloat16(one, torch.device(device)) for one in wanted] == expected(able)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a CPU does")
def test_bfloat16_rounds_and_a_cpu_without_it_says_so(monkeypatch, recipe, notes, tmp_path):
    def weights(name, able, wanted):
        monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: able)
        run = train(recipe(*QUICK, f"output={tmp_path / name}", f"train.precision={wanted}"), notes)
        return load_file(run.folder / WEIGHTS)

    plain, rounded = weights("plain", True, "float32"), weights("rounded", True, "bfloat16")
    assert not any("float32 it is" in notice for notice in notes.notices)
    unable = weights("unable", False, "bfloat16")
    assert sum("float32 it is" in notice for notice in notes.notices) == 1
    assert all(np.array_equal(plain[name], unable[name]) for name in plain)
    differences = [np.abs(plain[name] - rounded[name]).max() for name in plain]
    assert 0 < max(differences) < 0.1
