from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.config import TrainConfig
from tinyrm.errors import UserError
from tinyrm.train.objectives import (
    OBJECTIVES,
    bradley_terry,
    objective_of,
    pair_cloze,
    preference_logit,
    response_conditioned,
)

numbers = st.floats(-20, 20)
rows = st.lists(st.tuples(numbers, numbers, st.floats(0, 1)), min_size=1, max_size=6)
margins = st.floats(0, 5)


def tensors(rows):
    table = torch.tensor(rows, dtype=torch.float64)
    return table[:, :2], table[:, 2]


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


@given(rows=rows, margin=margins)
def test_bradley_terry_is_the_textbook_formula(rows, margin):
    odds, target = tensors(rows)
    loss = bradley_terry(odds, target, torch.full_like(target, margin))
    for found, (chosen, rejected, t) in zip(loss.tolist(), rows, strict=True):
        difference = chosen - rejected - margin
        assert found == pytest.approx(-t * log_sigmoid(difference) - (1 - t) * log_sigmoid(-difference), abs=1e-9)


@given(rows=rows)
def test_pair_cloze_is_the_cross_entropy_of_the_two_words(rows):
    odds, target = tensors(rows)
    loss = pair_cloze(odds, target, torch.zeros_like(target))
    for i, t in enumerate(target.tolist()):
        words = torch.stack([odds[i], torch.zeros(2)], dim=1)  # logits of words 0 and 1 in both orders
        answers = torch.tensor([[t, 1 - t], [1 - t, t]], dtype=torch.float64)
        expected = torch.nn.functional.cross_entropy(words, answers)
        assert float(loss[i]) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("kind", OBJECTIVES)
@given(rows=rows)
def test_naming_the_sides_the_other_way_round_changes_nothing(kind, rows):
    odds, target = tensors(rows)
    none = torch.zeros_like(target)
    swapped = OBJECTIVES[kind](odds.flip(1), 1 - target, none)
    torch.testing.assert_close(swapped, OBJECTIVES[kind](odds, target, none))


@given(rows=rows, margin=st.floats(0.1, 5))
def test_a_margin_raises_the_loss_of_a_preference(rows, margin):
    odds, _ = tensors(rows)
    target, none = torch.ones(len(odds), dtype=torch.float64), torch.zeros(len(odds), dtype=torch.float64)
    assert (bradley_terry(odds, target, none + margin) > bradley_terry(odds, target, none)).all()


@pytest.mark.parametrize("kind", OBJECTIVES)
@given(base=numbers, difference=st.floats(0.01, 20))
def test_a_tie_costs_least_where_nothing_is_preferred(kind, base, difference):
    # the two clozes of a pair that the model holds equal: the same answer in both orders
    odds = torch.tensor([[base, base], [base + difference, base], [base, base + difference]], dtype=torch.float64)
    if kind == "pair":
        odds = odds - base
    loss = OBJECTIVES[kind](odds, torch.full((3,), 0.5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    assert loss[0] < loss[1]
    assert loss[0] < loss[2]
    assert float(loss[0]) == pytest.approx(np.log(2))


@given(rows=rows)
def test_the_loss_of_a_pair_model_without_order_bias_is_that_of_its_log_odds(rows):
    odds = np.asarray([[a, -a] for a, _, _ in rows])
    logits = preference_logit(odds, "pair")
    loss = pair_cloze(torch.from_numpy(odds), torch.ones(len(odds), dtype=torch.float64), torch.zeros(len(odds)))
    np.testing.assert_allclose(loss.numpy(), np.logaddexp(0, -logits))


@given(rows=rows)
def test_the_loss_of_a_single_model_is_that_of_its_log_odds(rows):
    odds, _ = tensors(rows)
    logits = preference_logit(odds.numpy(), "single")
    loss = bradley_terry(odds, torch.ones(len(odds), dtype=torch.float64), torch.zeros(len(odds)))
    np.testing.assert_allclose(loss.numpy(), np.logaddexp(0, -logits))


@given(rows=rows)
def test_one_order_is_the_plain_cross_entropy(rows):
    odds, target = tensors(rows)
    loss = pair_cloze(odds[:, :1], target, torch.zeros_like(target))
    for found, (logit, _, t) in zip(loss.tolist(), rows, strict=True):
        assert found == pytest.approx(-t * log_sigmoid(logit) - (1 - t) * log_sigmoid(-logit), abs=1e-9)


@given(odds=st.lists(st.tuples(*[numbers] * 4), min_size=1, max_size=6), weight=st.floats(0, 3))
def test_rc_bt_is_the_papers_formula(odds, weight):
    table = torch.tensor(odds, dtype=torch.float64)
    ones, none = torch.ones(len(odds), dtype=torch.float64), torch.zeros(len(odds), dtype=torch.float64)
    loss = response_conditioned(table, ones, none, weight)
    for found, (chosen, rejected, broken, kept) in zip(loss.tolist(), odds, strict=True):
        expected = -log_sigmoid(chosen - rejected)
        expected -= weight * (log_sigmoid(chosen - broken) + log_sigmoid(kept - rejected))
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", OBJECTIVES)
@given(logit=st.floats(-6, 6), probability=st.floats(0.01, 0.99))
def test_a_soft_label_is_met_where_the_model_says_the_same(kind, logit, probability):
    wanted = float(np.log(probability / (1 - probability)))
    table = torch.tensor([[x, -x] if kind == "pair" else [x, 0.0] for x in (wanted, logit)], dtype=torch.float64)
    target = torch.full((2,), probability, dtype=torch.float64)
    met, other = OBJECTIVES[kind](table, target, torch.zeros_like(target)).tolist()
    assert met <= other + 1e-9


def test_the_recipe_names_the_objective():
    assert objective_of("pair", TrainConfig()) is pair_cloze
    assert objective_of("single", TrainConfig()) is bradley_terry
    conditioned = objective_of("single", TrainConfig(objective="response-conditioned", conditioned=0.0))
    odds, one = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.ones(1)
    assert torch.equal(conditioned(odds, one, 0 * one), bradley_terry(odds, one, 0 * one))
    with pytest.raises(UserError, match=r"needs prompt.template = single"):
        objective_of("pair", TrainConfig(objective="response-conditioned"))
