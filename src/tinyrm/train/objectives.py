"""What a batch of answers costs: each objective is a small function of the words' logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(odds [n, 2], target [n], margin [n]) -> loss [n]; odds: logit(word 0) - logit(word 1) of an example's two clozes."""


def pair_cloze(odds: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """Cross-entropy over the two answer words, mean of both orders (paper, cloze prompting).

    With two words the softmax cross-entropy is the logistic loss of their difference. The chosen
    response is choice 0 in the first cloze and choice 1 in the second.
    """
    first = binary_cross_entropy_with_logits(odds[:, 0], target, reduction="none")
    second = binary_cross_entropy_with_logits(-odds[:, 1], target, reduction="none")
    return (first + second) / 2


def bradley_terry(odds: Tensor, target: Tensor, margin: Tensor) -> Tensor:
    """-log sigmoid(r_chosen - r_rejected - margin), a tie as the target one half.

    Bradley and Terry (1952) as in Ouyang et al. (arXiv 2203.02155, eq. 1); the margin as in Llama 2
    (arXiv 2307.09288, eq. 2). The reward is the difference of the answer words' logits.
    """
    return binary_cross_entropy_with_logits(odds[:, 0] - odds[:, 1] - margin, target, reduction="none")


OBJECTIVES: dict[str, Objective] = {"pair": pair_cloze, "single": bradley_terry}
"""By kind of template."""


def preference_logit(odds: np.ndarray, kind: str) -> np.ndarray:
    """Log-odds [n] that the chosen response is better, from the odds [n, 2] of an example's two clozes."""
    difference: np.ndarray = odds[:, 0] - odds[:, 1]
    return difference / 2 if kind == "pair" else difference
