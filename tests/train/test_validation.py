from __future__ import annotations

import numpy as np
import pytest

from tinyrm.train.validation import summary, validation_metrics
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
