"""Published points to stand beside: Tiny Reward Models (Pan 2025, arXiv 2507.09973), on RewardBench's raw split.

Both responses are seen in one context and rows are averaged, which is not the leaderboard's protocol; `chat` joins Chat
and Chat Hard. Specialists were chosen by their scores on RewardBench itself. Operations are as the paper's chart gives
them: for the large model and the decoder they are about one a weight, so a multiplication and an addition count as one
there, where `tinyrm.evaluate.cost` counts two.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A model's accuracies in percent; parameters, and operations a token in GFLOPs, as printed."""

    model: str
    parameters: float
    chat: float
    reasoning: float
    safety: float
    overall: float
    gflops_per_token: float
    source: str = "arXiv 2507.09973"


PUBLISHED = (
    Published("TinyRM-large specialists", 400e6, 78.8, 91.2, 89.3, 86.4, 0.34),
    Published("TinyRM-base specialists", 150e6, 73.5, 83.3, 78.4, 78.4, 0.19),
    Published("Llama3-SteerLM-RM", 70e9, 89.7, 90.6, 92.8, 91.0, 78.1),
)
