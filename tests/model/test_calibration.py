import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.model.calibration import Calibration, fit_temperature, sigmoid


@given(st.floats(allow_nan=False))
def test_the_two_sides_of_a_question_add_up_to_one_exactly(x):
    assert sigmoid(-x) == 1 - sigmoid(x)
    assert sigmoid(x) + sigmoid(-x) == 1
    assert 0 <= sigmoid(x) <= 1


@given(st.floats(-30, 30))
def test_it_is_the_logistic_function(x):
    assert sigmoid(x) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-9, abs=1e-15)


@pytest.mark.filterwarnings("error")
def test_extremes_make_no_warning():
    assert (sigmoid(0.0), sigmoid(-0.0)) == (0.5, 0.5)
    assert (sigmoid(math.inf), sigmoid(-math.inf)) == (1.0, 0.0)
    assert (sigmoid(sys.float_info.max), sigmoid(-sys.float_info.max)) == (1.0, 0.0)


def loss(logits, targets, temperature):
    scaled = logits / temperature
    return np.mean(np.logaddexp(0, scaled) - targets * scaled)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 2.5, 20.0])
def test_a_known_temperature_is_found(temperature):
    log_odds = np.random.default_rng(5).normal(size=2000) * 2
    targets = 1 / (1 + np.exp(-log_odds))  # what would come up on average, so that no noise is left
    assert fit_temperature(log_odds * temperature, targets) == pytest.approx(temperature, rel=1e-4)


@given(st.lists(st.tuples(st.floats(-100, 100), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30))
def test_it_is_never_worse_than_no_temperature(pairs):
    logits, targets = np.array(pairs).T
    temperature = fit_temperature(logits, targets)
    assert 0.01 < temperature < 100
    assert loss(logits, targets, temperature) <= loss(logits, targets, 1.0) + 1e-9


def test_where_there_is_nothing_to_learn_the_temperature_is_one():
    assert fit_temperature(np.array([]), np.array([])) == 1.0
    assert fit_temperature(np.zeros(5), np.ones(5)) == 1.0


def test_a_domain_without_a_temperature_has_the_general_one():
    calibration = Calibration(2.0, domains={"chat": 3.0})
    assert [calibration.temperature_of(domain) for domain in ("chat", "safety", None)] == [3.0, 2.0, 2.0]
