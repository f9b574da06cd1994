from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tinyrm.config import TrainConfig
from tinyrm.train.optimiser import build_optimiser, learning_rate

PAPER = TrainConfig()


@given(steps=st.integers(2, 3000))
def test_the_rate_rises_in_a_line_then_falls_in_a_line_to_a_fiftieth(steps):
    rates = np.asarray([learning_rate(step, steps, PAPER) for step in range(steps)])
    rise = max(1, round(0.06 * steps))
    assert rates.max() == rates[rise - 1] == pytest.approx(PAPER.lr)
    np.testing.assert_allclose(rates[:rise], PAPER.lr * np.arange(1, rise + 1) / rise)
    assert rates[-1] == pytest.approx(0.02 * PAPER.lr)
    assert (rates > 0).all()
    falling = np.diff(rates[rise - 1 :])
    np.testing.assert_allclose(falling, falling[0], rtol=1e-6)


@given(
    steps=st.integers(1, 300),
    warmup=st.floats(0, 1),
    final_lr=st.floats(0, 1),
)
def test_the_rate_never_leaves_its_bounds(steps, warmup, final_lr):
    config = TrainConfig(warmup=warmup, final_lr=final_lr)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 <= rate <= config.lr * (1 + 1e-12) for rate in rates)


def test_decay_is_the_papers_decoupled_form():
    config = TrainConfig(lr=2e-3, weight_decay=1e-2)
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = build_optimiser(model, config)
    shrunk = 1.0
    for step in range(20):
        rate = learning_rate(step, 20, config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
        shrunk *= 1 - config.weight_decay * rate / config.lr
    after = dict(model.named_parameters())
    torch.testing.assert_close(after["0.weight"].detach(), before["0.weight"] * shrunk)
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[name], before[name])


def test_only_what_learns_is_given_to_the_optimiser():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    held = {id(p) for group in build_optimiser(model, PAPER).param_groups for p in group["params"]}
    assert held == {id(p) for p in model[1].parameters()}
    (group, _) = build_optimiser(model, PAPER).param_groups
    assert group["betas"] == (0.9, 0.98)
    assert group["eps"] == 1e-6
