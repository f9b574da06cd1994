"""What a judge says about labelled pairs, asked so that the label cannot show through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinyrm.types import DOMAINS, Preference, Prompt, Verdict

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

SUREST = 1e6
"""Log-odds beyond count as this: those of a judge that is quite sure may be infinite."""


class Judge(Protocol):
    """Anything that can say which of two responses is better; `tinyrm.infer.RewardModel` is one."""

    def compare_many(
        self,
        pairs: Sequence[tuple[Prompt, str, str]],
        *,
        domains: Sequence[str | None],
        protocol: Literal["single", "pair"] | None,
        progress: Callable[[int], None] | None,
    ) -> list[Verdict]:
        """One verdict for each (prompt, A, B), in order; `progress` is told the pairs done since it was last called.

        One response may stand in many pairs: a judge that scores responses alone does well to score each once.
        """
        ...


@dataclass(frozen=True, eq=False)
class Judged:
    """Preferences and what a judge said of each; the arrays run over the rows.

    p_chosen: probability that the chosen response is better.
    logit: log-odds that it is, from both orders, before any calibration.
    credit: 1 right, 0 wrong, 0.5 where the judge calls a tie, NaN where the label itself is a tie.
    p_by_order: probability that the chosen response is better, shown first and shown second, [rows, 2].
    votes: what each order names, [rows, 2]: 1 the chosen response, -1 the rejected one, 0 neither.
    was_cut: whether anything was removed to fit the model's length.
    """

    preferences: Sequence[Preference]
    p_chosen: Floats
    logit: Floats
    credit: Floats
    p_by_order: Floats
    votes: NDArray[np.int8]
    was_cut: Bools

    @property
    def scored(self) -> Bools:
        """Rows that can be right or wrong: those whose label is not a tie."""
        return ~np.isnan(self.credit)

    @property
    def orders_agree(self) -> Bools:
        """Whether both orders of the pair named the same side."""
        same: Bools = self.votes[:, 0] == self.votes[:, 1]
        return same

    def save(self, path: str | Path) -> None:
        """Writes one JSON record a row: its id, subset and figures, none of its text but a digest."""
        with Path(path).open("w", encoding="utf-8") as file:
            for i, preference in enumerate(self.preferences):
                credit = self.credit[i]
                record = {
                    "id": preference.id,
                    "digest": digest_of(preference),
                    "subset": preference.subset,
                    "p_chosen": float(self.p_chosen[i]),
                    "p_shown_first": float(self.p_by_order[i, 0]),
                    "p_shown_second": float(self.p_by_order[i, 1]),
                    "logit": float(self.logit[i]),
                    "credit": None if np.isnan(credit) else float(credit),
                    "agree": bool(self.orders_agree[i]),
                    "cut": bool(self.was_cut[i]),
                }
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def judge_preferences(
    judge: Judge,
    preferences: Sequence[Preference],
    *,
    protocol: Literal["single", "pair"] | None = None,
    use_domains: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Judged:
    """Asks the judge about every row.

    Which response is shown as A follows from the texts alone, never from the label, so a judge
    that always says A is right half of the time.

    Args:
        use_domains: tell the judge each row's domain (where it is one of `tinyrm.types.DOMAINS`).
    """
    chosen_is_a = np.array([_comes_first(p.prompt, p.chosen, p.rejected) for p in preferences], dtype=np.bool_)
    verdicts = judge.compare_many(
        [
            (p.prompt, p.chosen, p.rejected) if first else (p.prompt, p.rejected, p.chosen)
            for p, first in zip(preferences, chosen_is_a, strict=True)
        ],
        domains=[p.domain if use_domains and p.domain in DOMAINS else None for p in preferences],
        protocol=protocol,
        progress=progress,
    )
    if len(verdicts) != len(preferences):
        raise ValueError(f"the judge gave {len(verdicts)} verdicts on {len(preferences)} pairs")
    p_a = np.array([verdict.p_a for verdict in verdicts], dtype=np.float64)
    # Of A, in the order that shows the chosen response first and in the one that shows it second.
    shown = np.array([(v.p_a_shown_first, v.p_a_shown_second) for v in verdicts], dtype=np.float64).reshape(-1, 2)
    shown = np.where(chosen_is_a[:, None], shown, shown[:, ::-1])
    logit = np.array([verdict.logit for verdict in verdicts], dtype=np.float64)
    if not all(np.all((p >= 0) & (p <= 1)) for p in (p_a, shown)) or np.isnan(logit).any():
        raise ValueError("the judge gave a probability that is not between 0 and 1, or no log-odds")
    # Sides are told by p_a itself: 1 - p may round to exactly 0.5.
    side = np.where(chosen_is_a, 1, -1)
    credit = np.where(p_a == 0.5, 0.5, (p_a > 0.5) == chosen_is_a)
    credit[np.array([p.tie for p in preferences], dtype=np.bool_)] = np.nan
    return Judged(
        preferences,
        np.where(chosen_is_a, p_a, 1 - p_a),
        side * np.clip(logit, -SUREST, SUREST),
        credit,
        np.where(chosen_is_a[:, None], shown, 1 - shown),
        np.asarray(side[:, None] * np.sign(shown - 0.5), dtype=np.int8),
        np.array([bool(verdict.cut) for verdict in verdicts], dtype=np.bool_),
    )


def digest_of(preference: Preference) -> str:
    """Of the row's texts: by it a verdict is found again in the data that was judged."""
    return _digest(preference.prompt, preference.chosen, preference.rejected).hex()


def _comes_first(prompt: Prompt, response: str, other: str) -> bool:
    """A fair coin that depends on the two texts alone; swapping them turns it over."""
    return _digest(prompt, response) <= _digest(prompt, other)


def _digest(prompt: Prompt, *responses: str) -> bytes:
    text = json.dumps([[(turn.role, turn.content) for turn in prompt], *responses])
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).digest()
