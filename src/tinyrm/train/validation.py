"""How well held-out preferences are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..types import Preference


def validation_metrics(logits: np.ndarray, held_out: Sequence[Preference]) -> dict[str, Any]:
    """Accuracy (a tied judgement counts half; labelled ties are left out), log loss in nats, and the same by domain.

    logits [n]: log-odds that the chosen response is better. `score` is the mean of the domains'
    accuracies, by which the best checkpoint is chosen, so that a large domain does not decide alone.
    """
    decided = np.asarray([not p.tie for p in held_out], dtype=bool)
    names = np.asarray([p.domain or "none" for p in held_out])
    domains = {name: _part(logits[decided & (names == name)]) for name in sorted(set(names[decided]))}
    return {
        "score": float(np.mean([part["accuracy"] for part in domains.values()])) if domains else 0.0,
        **_part(logits[decided]),
        "domains": domains,
    }


def _part(logits: np.ndarray) -> dict[str, Any]:
    if not len(logits):
        return {"accuracy": 0.0, "log_loss": 0.0, "pairs": 0}
    credit = (logits > 0) + 0.5 * (logits == 0)
    return {
        "accuracy": round(float(credit.mean()), 4),
        "log_loss": round(float(np.logaddexp(0, -logits).mean()), 4),
        "pairs": len(logits),
    }


def summary(metrics: Mapping[str, Any]) -> str:
    """One line for people: overall and by domain, in percent."""
    parts = ", ".join(f"{name} {100 * part['accuracy']:.1f}" for name, part in metrics["domains"].items())
    return f"held-out accuracy {100 * metrics['accuracy']:.1f}% ({parts}) of {metrics['pairs']:,} pairs"
