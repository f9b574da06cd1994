"""How well held-out preferences are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.calibration import Calibration, expected_calibration_error, fit_temperature, sigmoid
from ..types import DOMAINS, Preference
from .batches import Feed
from .loop import judge
from .objectives import preference_logit

FEWEST_TO_CALIBRATE = 100
"""Held-out pairs below which a temperature would be fitted to chance."""


class HeldOut:
    """The held-out rows, and the best that any step has made of them.

    best: metrics of that step, with `step`. logits [n]: its log-odds that the chosen response is
    better. calibration: fitted to these.
    """

    def __init__(self, rows: Sequence[Preference], feed: Feed, kind: str) -> None:
        self.rows = rows
        self._feed = feed
        self._kind = kind
        self.best: dict[str, Any] = {"score": -1.0, "log_loss": 0.0}
        self.logits = np.zeros(0)
        self.calibration = Calibration()

    def judge(
        self, model: Callable[..., Tensor], step: int, tokens: int, device: torch.device, half: bool = False
    ) -> dict[str, Any]:
        """The metrics of a step; if it is the best so far, `best["step"]` is that step now."""
        odds = judge(model, self._feed, tokens, device, half)
        logits = preference_logit(odds, self._kind)
        found = validation_metrics(logits, self.rows)
        if (found["score"], -found["log_loss"]) > (self.best["score"], -self.best["log_loss"]):
            self.best, self.logits = {**found, "step": step}, logits
            offset = float(odds.mean()) if self._kind == "single" else 0.0
            self.calibration = calibrate(logits, self._feed.examples.target, self.rows, offset)
            self.best["calibration"] = calibration_metrics(logits, self.rows, self.calibration)
        return found


def calibrate(logits: np.ndarray, targets: np.ndarray, held_out: Sequence[Preference], offset: float) -> Calibration:
    """One temperature for all and one for each domain of enough rows."""
    names = np.asarray([p.domain or "" for p in held_out])
    parts = {"": np.ones(len(names), dtype=bool)} | {name: names == name for name in DOMAINS}
    found = {
        name: round(fit_temperature(logits[part], targets[part]), 4)
        for name, part in parts.items()
        if part.sum() >= FEWEST_TO_CALIBRATE
    }
    return Calibration(found.pop("", 1.0), offset, found)


def calibration_metrics(
    logits: np.ndarray, held_out: Sequence[Preference], calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Temperature, and expected calibration error before and after it, over all decided rows and by domain."""
    decided = np.asarray([not p.tie for p in held_out], dtype=bool)
    names = np.asarray([p.domain or "" for p in held_out])
    credit = (logits > 0) + 0.5 * (logits == 0)

    def error(part: np.ndarray, temperature: float) -> float:
        p = np.asarray([sigmoid(x / temperature) for x in logits[part]])
        return round(expected_calibration_error(p, credit[part]), 4)

    parts = {"all": (decided, calibration.temperature)}
    parts |= {name: (decided & (names == name), temperature) for name, temperature in calibration.domains.items()}
    return {
        name: {"temperature": temperature, "ece_before": error(part, 1.0), "ece_after": error(part, temperature)}
        for name, (part, temperature) in parts.items()
        if part.any()
    }


def validation_metrics(logits: np.ndarray, held_out: Sequence[Preference]) -> dict[str, Any]:
    """Accuracy (a tied judgement counts half; labelled ties are left out), log loss in nats, and the same
    by domain and by source.

    logits [n]: log-odds that the chosen response is better. `score` is the mean of the domains'
    accuracies, by which the best checkpoint is chosen, so that a large domain does not decide alone.
    """
    decided = np.asarray([not p.tie for p in held_out], dtype=bool)

    def parts(names: list[str]) -> dict[str, dict[str, Any]]:
        of = np.asarray(names)
        return {name: _part(logits[decided & (of == name)]) for name in sorted(set(of[decided]))}

    domains = parts([p.domain or "none" for p in held_out])
    return {
        "score": float(np.mean([part["accuracy"] for part in domains.values()])) if domains else 0.0,
        **_part(logits[decided]),
        "domains": domains,
        "sources": parts([p.source or "none" for p in held_out]),
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
