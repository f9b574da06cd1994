"""Runs of one process share what they agree in, and nothing else."""

from __future__ import annotations

import pytest
import torch

from tinyrm.train.materials import Materials

CPU = torch.device("cpu")


def test_recipes_that_agree_share_rows_and_clozes(recipe, notes):
    materials = Materials()
    one, other = recipe("train.lr=1e-3"), recipe("train.lr=1e-4", "model.frozen=1", "train.epochs=3")
    assert materials.mixture(one, notes) is materials.mixture(other, notes)
    base, _ = materials.base(one, notes, CPU)
    first, second = (materials.examples(each, base, notes)[1:] for each in (one, other))
    assert first[0] is second[0]
    assert first[1] is second[1]


@pytest.mark.parametrize(
    "change", ["prompt.slot=first", "model.head=match", "prompt.instruction=Which?", "data.seed=3"]
)
def test_what_decides_the_clozes_makes_new_ones(recipe, notes, change):
    materials = Materials()
    base, _ = materials.base(recipe(), notes, CPU)
    first, second = (materials.examples(each, base, notes)[1] for each in (recipe(), recipe(change)))
    assert first is not second
    assert first.ids.tolist() != second.ids.tolist()


def test_every_run_has_a_base_of_its_own(recipe, notes):
    materials = Materials()
    first, second = (materials.base(recipe(), notes, CPU)[0].masked_lm for _ in range(2))
    with torch.no_grad():
        next(first.parameters()).add_(1)
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_a_new_head_follows_from_the_seed_of_the_data_alone_and_is_warmed_up_once(recipe, notes, headless_folder):
    usual = (f"model.base={headless_folder}", "warmup.tokens=4000", "data.seed=5")
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        base, facts = Materials().base(recipe(*usual, f"seed={seed}"), notes, CPU)
        assert torch.equal(torch.random.get_rng_state(), before)  # adapters are drawn from the run's own seed
        assert facts["warmup_loss"] > 0
        states.append(base.masked_lm.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    materials = Materials()
    materials.base(recipe(*usual), notes, CPU)
    notes.done.clear()
    again, _ = materials.base(recipe(*usual, "seed=9"), notes, CPU)
    assert "warming up the head" not in notes.done
    assert all(torch.equal(again.masked_lm.state_dict()[name], states[0][name]) for name in states[0])
