from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tinyrm.model.checkpoint import WEIGHTS
from tinyrm.train import precision
from tinyrm.train.run import train

QUICK = ("train.epochs=0.5", "train.evaluations=1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a CPU does")
@pytest.mark.parametrize("able", [True, False])
def test_a_cpu_computes_in_bfloat16_only_if_asked_and_able(monkeypatch, able):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: able)
    found = [precision.in_bfloat16(wanted) for wanted in ("auto", "float32", "bfloat16")]
    assert found == [False, False, able]


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a CPU does")
def test_bfloat16_rounds_and_a_cpu_without_it_says_so(monkeypatch, recipe, notes, tmp_path):
    def weights(name, able, wanted):
        monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: able)
        run = train(recipe(*QUICK, f"output={tmp_path / name}", f"train.precision={wanted}"), notes)
        return load_file(run.folder / WEIGHTS)

    plain, rounded = weights("plain", True, "float32"), weights("rounded", True, "bfloat16")
    assert not notes.notices.count("this CPU has no instructions for bfloat16: float32 it is")
    unable = weights("unable", False, "bfloat16")
    assert notes.notices.count("this CPU has no instructions for bfloat16: float32 it is") == 1
    assert all(np.array_equal(plain[name], unable[name]) for name in plain)
    differences = [np.abs(plain[name] - rounded[name]).max() for name in plain]
    assert 0 < max(differences) < 0.1
