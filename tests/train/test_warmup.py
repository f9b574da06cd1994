from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyrm.config import WarmupConfig
from tinyrm.model.base import load_base
from tinyrm.train.warmup import sequences, warm_up
from tinyrm.types import Message, Preference, to_prompt

ROWS = [Preference(to_prompt(f"what is {chr(97 + i % 26)}?"), "yes yes yes", "no no no") for i in range(300)]


@pytest.mark.parametrize("tokens", [1, 64, 1000, 10**6])
def test_sequences_are_full_and_framed(encoder, tokens):
    rows = sequences(ROWS, encoder, WarmupConfig(tokens=tokens, max_length=32), seed=0)
    assert rows.shape[1] == 32
    assert len(rows) <= max(1, tokens // 32)
    assert (rows[:, 0] == encoder.cls).all()
    assert (rows[:, -1] == encoder.sep).all()
    assert not np.isin(rows[:, 1:-1], [encoder.cls, encoder.sep, encoder.mask, encoder.pad]).any()


def test_sequences_hold_all_there_is_each_prompt_with_one_of_its_responses(encoder):
    rows = sequences(ROWS, encoder, WarmupConfig(tokens=10**6, max_length=32), seed=0)
    texts = encoder.decode(rows[:, 1:-1].ravel().tolist()).split("what")
    assert abs(len(texts) - 1 - len(ROWS)) <= 5  # the last row may be left out, as it would not be full
    assert all(("yes" in text) != ("no" in text) for text in texts[1:-1])
    assert 0.4 < np.mean(["yes" in text for text in texts]) < 0.6


def test_sequences_follow_from_their_seed(encoder):
    config = WarmupConfig(tokens=640, max_length=32)
    first, again, other = (sequences(ROWS, encoder, config, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_text_shorter_than_a_row_is_repeated(encoder):
    row = Preference((Message("user", "a b"),), "c", "c")
    (only,) = sequences([row], encoder, WarmupConfig(tokens=640, max_length=16), seed=0)
    assert encoder.decode(only[1:-1].tolist()).replace(" ", "") == ("abc" * 5)[:14]


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_the_loss_falls_and_frozen_layers_stay(base_folder, family, frozen):
    base = load_base(str(base_folder(family)))
    before = {name: p.detach().clone() for name, p in base.masked_lm.named_parameters()}
    losses = []
    config = WarmupConfig(tokens=100_000, lr=1e-2, frozen=frozen, max_length=16)
    last = warm_up(
        base.masked_lm,
        ROWS * 40,
        base.encoder,
        config,
        seed=0,
        device=torch.device("cpu"),
        on_step=lambda step, steps, loss: losses.append((step, steps, loss)),
    )
    values = [loss for _, _, loss in losses]
    assert [step for step, _, _ in losses] == list(range(1, losses[0][1] + 1))
    assert last == pytest.approx(np.mean(values[-max(1, len(values) // 10) :]))
    assert last < 0.7 * np.mean(values[:2])
    changed = {name for name, p in base.masked_lm.named_parameters() if not torch.equal(p, before[name])}
    below = ("embeddings", *(f"{stack}.{i}." for stack in ("encoder.layer", "model.layers") for i in range(frozen)))
    expected = {name for name in before if frozen == 0 or not any(part in name for part in below)}
    assert changed == expected
    assert all(p.requires_grad for p in base.masked_lm.parameters())
