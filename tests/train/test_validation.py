from __future__ import annotations

import numpy as np
import pytest

from tinyrm.train.validation import calibrate, calibration_metrics, summary, validation_metrics
from tinyrm.types import Preference, to_prompt


def rows(*domains, tie=False):
    return [Preference(to_prompt("a?"), "yes", "no", domain=domain, tie=tie) for domain in domains]


def test_every_domain_weighs_the_same_in_the_score():
    held_out = rows("chat", "chat", "chat", "safety")
    found = validation_metrics(np.asarray([1.0, 2.0, 3.0, -1.0]), held_out)
    assert found["accuracy"] == 0.75
    assert found["score"] == 0.5
    assert {name: part["accuracy"] for name, part in found["domains"].items()} == {"chat": 1.0, "safety": 0.0}
    assert found["log_loss"] == pytest.approx(np.log1p(np.exp([-1.0, -2.0, -3.0, 1.0])).mean(), abs=1e-4)
    assert summary(found) == "held-out accuracy 75.0% (chat 100.0, safety 0.0) of 4 pairs"


def test_an_undecided_judgement_is_half_right():
    assert validation_metrics(np.asarray([0.0, 1.0]), rows(None, None))["accuracy"] == 0.75


def test_labelled_ties_do_not_count():
    held_out = rows("chat") + rows("chat", "safety", tie=True)
    found = validation_metrics(np.asarray([1.0, -5.0, -5.0]), held_out)
    assert (found["accuracy"], found["pairs"], list(found["domains"])) == (1.0, 1, ["chat"])
    assert validation_metrics(np.asarray([1.0]), rows("chat", tie=True))["score"] == 0.0


def test_temperatures_by_domain_mend_what_one_for_all_cannot():
    """A judge who is sure of himself in one domain and shy in the other, and right as often as he should be."""
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 2, 4000)
    right = rng.random(4000) < 1 / (1 + np.exp(-np.abs(truth)))
    held_out = rows(*(["chat"] * 2000 + ["safety"] * 2000))
    logits = np.where(right, 1, -1) * np.abs(truth) * np.repeat([4.0, 0.25], 2000)
    found = calibrate(logits, np.ones(4000), held_out, 0.0)
    assert found.domains["chat"] == pytest.approx(4.0, rel=0.15)
    assert found.domains["safety"] == pytest.approx(0.25, rel=0.15)
    told = calibration_metrics(logits, held_out, found)
    for domain in ("chat", "safety"):
        assert told[domain]["ece_after"] < 0.03 < told[domain]["ece_before"]


def test_few_rows_of_a_domain_give_no_temperature():
    found = calibrate(np.ones(150), np.ones(150), rows(*(["chat"] * 120 + ["safety"] * 30)), 0.5)
    assert (list(found.domains), found.offset) == (["chat"], 0.5)
    assert calibrate(np.ones(9), np.ones(9), rows(*["chat"] * 9), 0.0).temperature == 1.0
