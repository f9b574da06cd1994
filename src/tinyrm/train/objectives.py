"""What a batch of answers costs: each objective is a small function of the words' logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ..config import TrainConfig
from ..errors import UserError

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(odds [n, clozes], target [n], margin [n]) -> loss [n]; odds: logit(word 0) - logit(word 1) of an example's clozes.

A target between 0 and 1 is a soft label: a tie (0.5), or another judge's probability that the chosen
response is better (distillation, Hinton et al., arXiv 1503.02531, at temperature 1).
"""


def pair_cloze(odds: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """Cross-entropy over the two answer words, mean of the orders (paper, cloze prompting).

    With two words the softmax cross-entropy is the logistic loss of their difference. The chosen
    response is choice 0 in the first cloze and choice 1 in the second; where only one order is read,
    `target` is that of choice 0.
    """
    first = binary_cross_entropy_with_logits(odds[:, 0], target, reduction="none")
    if odds.shape[1] == 1:
        return first
    second = binary_cross_entropy_with_logits(-odds[:, 1], target, reduction="none")
    return (first + second) / 2


def bradley_terry(odds: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected - margin), a tie as the target one half.

    Bradley and Terry (1952) as in Ouyang et al. (arXiv 2203.02155, eq. 1); the margin as in Llama 2
    (arXiv 2307.09288, eq. 2). The reward is the difference of the answer words' logits.
    """
    return binary_cross_entropy_with_logits(odds[:, 0] - odds[:, 1] - margin, target, reduction="none")


def response_conditioned(odds: Tensor, target: Tensor, margin: Tensor, weight: float = 1.0) -> Tensor:
    """Bradley-Terry and two terms against length (Rc-BT, arXiv 2502.00814).

    -log sigmoid(r(x, chosen) - r(x1, chosen)) - log sigmoid(r(x2, rejected) - r(x, rejected)), where x1 is
    the prompt with a limit that the chosen response breaks and x2 with one that the rejected keeps. odds [n, 4]:
    of (x, chosen), (x, rejected), (x1, chosen), (x2, rejected).
    """
    broken = -logsigmoid(odds[:, 0] - odds[:, 2])
    kept = -logsigmoid(odds[:, 3] - odds[:, 1])
    return bradley_terry(odds, target, margin) + weight * (broken + kept)


OBJECTIVES: dict[str, Objective] = {"pair": pair_cloze, "single": bradley_terry}
"""By kind of template."""


def objective_of(kind: str, config: TrainConfig) -> Objective:
    """The objective that a recipe asks for.

    Raises:
        UserError: it does not fit the template.
    """
    if config.objective == "preference":
        return OBJECTIVES[kind]
    if kind != "single":
        raise UserError("train.objective = response-conditioned compares rewards: it needs prompt.template = single")
    return partial(response_conditioned, weight=config.conditioned)


def preference_logit(odds: np.ndarray, kind: str) -> np.ndarray:
    """Log-odds [n] that the chosen response is better, from the odds [n, 2] of an example's two clozes."""
    difference: np.ndarray = odds[:, 0] - odds[:, 1]
    return difference / 2 if kind == "pair" else difference
