import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate.metrics import brier, log_loss
from tinyrm.model.calibration import expected_calibration_error

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=50).map(np.array)


def credit_of(p):
    return np.where(p == 0.5, 0.5, p > 0.5)


@given(probabilities)
def test_calibration_error_equals_its_formula(p):
    credit, confidence = credit_of(p), np.maximum(p, 1 - p)
    edges = np.linspace(0.5, 1, 11)
    bins = [min(int((c - 0.5) * 20), 9) for c in confidence]
    assert all(edges[b] - 1e-9 <= c <= edges[b + 1] + 1e-9 for b, c in zip(bins, confidence, strict=True))
    total = 0.0
    for b in set(bins):
        members = [i for i, other in enumerate(bins) if other == b]
        total += len(members) / len(p) * abs(credit[members].mean() - confidence[members].mean())
    assert expected_calibration_error(p, credit) == pytest.approx(total)


def test_a_judge_that_is_as_right_as_it_says_is_calibrated():
    p = np.array([0.75] * 75 + [0.25] * 25)
    assert expected_calibration_error(p, credit_of(p)) == pytest.approx(0)


@given(probabilities)
def test_losses_are_bounded_and_fall_with_certainty(p):
    assert 0 <= brier(p) <= 1
    assert 0 <= log_loss(p) < 28
    closer = (p + 1) / 2
    assert brier(closer) <= brier(p)
    assert log_loss(closer) <= log_loss(p)


def test_losses_without_an_opinion():
    p = np.full(7, 0.5)
    assert log_loss(p) == pytest.approx(math.log(2))
    assert brier(p) == 0.25
