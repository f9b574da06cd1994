from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from tinyrm.config import AdapterConfig, TrainConfig
from tinyrm.data import load_preferences
from tinyrm.errors import UserError
from tinyrm.model.adapters import add_adapters
from tinyrm.model.base import load_base
from tinyrm.model.cloze_model import ClozeModel
from tinyrm.prompt import ClozeWriter, builtin
from tinyrm.train.batches import Feed
from tinyrm.train.examples import encode
from tinyrm.train.loop import fit, judge
from tinyrm.train.objectives import preference_logit

TINY = TrainConfig(epochs=3, batch_size=8, tokens_per_batch=512, lr=3e-3, evaluations=3)


@pytest.fixture
def run(base_folder, pairs_file):
    """`run(...)`: a model trained on easy pairs, its examples, its steps and what came of it."""

    def train(family="bert", kind="single", frozen=0, config=TINY, adapter="none", seed=3):
        torch.manual_seed(seed)
        base = load_base(str(base_folder(family)))
        writer = ClozeWriter(base.encoder, builtin(kind, max_length=96))
        examples = encode(load_preferences(pairs_file(60)).preferences, writer)
        model = ClozeModel(base.masked_lm, writer.word_ids, frozen)
        add_adapters(model, AdapterConfig(adapter, rank=4))
        steps, asked = [], []
        fitted = fit(
            model,
            Feed(examples, model.packs, base.encoder.pad),
            kind,
            config,
            seed=seed,
            accelerator=Accelerator(cpu=True),
            on_step=steps.append,
            validate=lambda _, step: asked.append(step) or {"asked": len(asked)},
        )
        return model, examples, steps, fitted

    return train


def weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def accuracy(model, examples, kind: str) -> float:
    odds = judge(model, Feed(examples, model.packs, 0), 512, torch.device("cpu"))
    return float((preference_logit(odds, kind) > 0).mean())


@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("kind", ["single", "pair"])
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_learns_an_easy_task(run, base_folder, family, kind, frozen):
    before = dict(load_base(str(base_folder(family))).masked_lm.named_parameters())
    config = replace(TINY, epochs=3 if kind == "single" else 20)  # to compare within one text is harder to learn
    model, examples, steps, fitted = run(family, kind, frozen, config)
    losses = [step.loss for step in steps]
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    assert accuracy(model, examples, kind) > 0.95
    still = {id(p) for p in model.trunk.parameters()} if frozen else set()
    for name, parameter in model.masked_lm.named_parameters():
        if parameter.ndim > 1:  # the last biases cancel out of a difference of rewards
            assert torch.equal(parameter, before[name]) == (id(parameter) in still), name
    assert not model.training
    assert fitted.steps == len(steps) == 8 * config.epochs


def test_counts_are_true_and_evaluations_end_with_the_run(run):
    _, examples, steps, fitted = run()
    assert [step.step for step in steps] == list(range(1, 25))
    assert {step.steps for step in steps} == {24}
    assert fitted.preferences == 3 * len(examples) == steps[-1].preferences
    assert fitted.tokens == 3 * int(examples.starts[-1]) == steps[-1].tokens
    assert [entry["step"] for entry in fitted.history] == [8, 16, 24]
    assert [entry["asked"] for entry in fitted.history] == [1, 2, 3]
    assert fitted.history[-1]["loss"] == steps[-1].loss
    assert max(step.lr for step in steps) == TINY.lr


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 4), (0.01, 1), (1.25, 10)])
def test_part_of_an_epoch(run, epochs, steps):
    *_, fitted = run(config=TrainConfig(epochs=epochs, batch_size=8, lr=1e-3, evaluations=2))
    assert fitted.steps == steps
    assert fitted.history[-1]["step"] == steps


@pytest.mark.parametrize("adapter", ["none", "dora"])
def test_the_same_seed_gives_the_same_weights_to_the_bit(run, adapter):
    short = TrainConfig(epochs=1, batch_size=8, lr=3e-3, evaluations=1)
    first, second, other = (weights(run(config=short, adapter=adapter, seed=seed)[0]) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_the_size_of_a_micro_batch_changes_no_step(run, kind):
    # one step of plain numbers: later steps of Adam would blow rounding errors up
    found = []
    for tokens in (1, 200, 10_000):
        config = TrainConfig(epochs=0.01, batch_size=16, tokens_per_batch=tokens, lr=1e-3, eps=1e-3, evaluations=1)
        found.append((weights((trained := run(kind=kind, config=config))[0]), trained[2][0]))
    (first, step), *others = found
    for other, other_step in others:
        assert other_step.loss == pytest.approx(step.loss, abs=1e-6)
        assert other_step.tokens == step.tokens
        for name in first:
            torch.testing.assert_close(other[name], first[name], rtol=0, atol=1e-5)


def test_judging_follows_the_order_of_the_examples(run):
    model, examples, *_ = run(config=TrainConfig(epochs=0.01, lr=1e-3, evaluations=1))
    cpu, feed = torch.device("cpu"), Feed(examples, model.packs, 0)
    np.testing.assert_allclose(judge(model, feed, 1, cpu), judge(model, feed, 4096, cpu), rtol=0, atol=2e-5)


def test_a_loss_that_is_no_number_ends_the_run(run):
    with pytest.raises(UserError, match=r"the loss became (nan|inf) at step \d+: lower train.lr"):
        run(config=TrainConfig(epochs=20, batch_size=8, lr=9.0, weight_decay=1e6, clip=1e9, evaluations=1))
