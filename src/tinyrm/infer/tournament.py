"""Candidates ranked by comparing pairs of them: a round robin of a few, a Swiss tournament of many."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from ..types import Prompt, Verdict
from .inputs import Asked

ROUND_ROBIN = 16
"""So many different candidates all meet each other; more play a Swiss tournament."""
TOLERANCE = 1e-10
"""Of a rating, relative to the largest sum of log-odds: where the solver stops."""
AT_ONCE = 4096
"""Comparisons that are asked for at once, to bound memory."""
Progress: TypeAlias = Callable[[int], None]
Scored: TypeAlias = tuple[list[float], list[Mapping[str, int]]]
"""Of the candidates of one prompt: their scores, and what was cut."""


class Compare(Protocol):
    """`RewardModel.compare_many`."""

    def __call__(
        self,
        pairs: Sequence[tuple[Prompt, str, str]],
        *,
        domains: Sequence[str | None] | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]: ...


class Tournament:
    """Who meets whom, and what follows from it.

    Equal texts are one player. Up to 16 players, and as many as there are with `full`, all meet each other:
    N(N-1)/2 comparisons. More play a Swiss tournament: everyone meets the next player and the one about sqrt(N)
    places further on around a circle, which connects all of them at short distance; then each of ceil(log2 N)
    rounds pairs neighbours in the present standing who have not met. That is at most (ceil(log2 N) + 4) N / 2
    comparisons: 7,000 for 1,000 players instead of 499,500.

    Ratings are the least-squares fit of r[i] - r[j] to the log-odds that i beats j (HodgeRank, arXiv 0811.1067);
    their mean is 0, and where all have met they are the mean log-odds against all, oneself included.

    The circle is in the order of the texts' SHA-256, and all arithmetic follows it: the order in which candidates
    are given changes no bit of any score.

        while meetings := tournament.round():
            tournament.record([log_odds(i, j) for i, j in meetings])
        tournament.scores()
    """

    def __init__(self, texts: Sequence[str], *, full: bool = False) -> None:
        place = {text: i for i, text in reversed([*enumerate(texts)])}  # of the first of equal texts
        seeded = sorted(place, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        self._place = [place[text] for text in seeded]
        player = {text: seed for seed, text in enumerate(seeded)}
        self._player = [player[text] for text in texts]
        self.players = count = len(seeded)
        self._all_meet = full or count <= ROUND_ROBIN
        self._swiss_rounds = 0 if self._all_meet else math.ceil(math.log2(count))
        pairs = count * (count - 1) // 2
        self.comparisons = pairs if self._all_meet else 2 * count + self._swiss_rounds * (count // 2)
        """How many there are at most."""
        self._met = np.zeros((0, 2), np.int64)
        self._odds = np.zeros(0)
        self._ratings = np.zeros(count)
        self._now: np.ndarray | None = None
        self._rounds = 0

    def round(self) -> list[tuple[int, int]]:
        """The next meetings, as places in the texts given; none once all has been played."""
        if self._rounds == 0:
            self._now = _all_pairs(self.players) if self._all_meet else _circle(self.players)
        elif self._rounds <= self._swiss_rounds:
            self._now = self._neighbours()
        else:
            self._now = np.zeros((0, 2), np.int64)
        self._rounds += 1
        return [(self._place[i], self._place[j]) for i, j in self._now.tolist()]

    def record(self, odds: Sequence[float]) -> None:
        """Takes the log-odds, in the order of the meetings of `round`, that the first of each beats the second."""
        if self._now is None or len(odds) != len(self._now):
            raise ValueError("record what round() asked for, once")
        self._met, self._now = np.concatenate([self._met, self._now]), None
        self._odds = np.concatenate([self._odds, np.asarray(odds, np.float64)])
        self._ratings = _fit(self.players, self._met, self._odds, self._ratings, complete=self._all_meet)

    def scores(self) -> list[float]:
        """The rating of each text given, in log-odds."""
        ratings: list[float] = self._ratings.tolist()
        return [ratings[player] for player in self._player]

    def _neighbours(self) -> np.ndarray:
        """Neighbours in the standing who have not met; from the top and from the foot in turn, so that byes differ."""
        standing = np.argsort(-self._ratings, kind="stable").tolist()
        if self._rounds % 2 == 0:
            standing.reverse()
        met = {(min(pair), max(pair)) for pair in self._met.tolist()}
        paired = [False] * len(standing)
        pairs = []
        for here, i in enumerate(standing):
            if paired[here]:
                continue
            for there in range(here + 1, len(standing)):  # nearly all are open to i, so this looks at few
                j = standing[there]
                if not paired[there] and (min(i, j), max(i, j)) not in met:
                    paired[there] = True
                    pairs.append((i, j))
                    break
        return np.asarray(pairs, np.int64).reshape(-1, 2)


def hold(asked: Asked, compare: Compare, *, full: bool, progress: Progress | None) -> list[Scored]:
    """Holds a tournament for each row, all at once, round by round. progress: as of `RewardModel.rank`."""
    held = [Tournament(texts, full=full) for _, texts in asked.rows]
    cuts: list[dict[str, dict[str, int]]] = [{text: {} for text in texts} for _, texts in asked.rows]
    total, done = sum(len(texts) for _, texts in asked.rows), 0

    def count(candidates: int) -> None:
        nonlocal done
        done += candidates
        if progress is not None and candidates:
            progress(candidates)

    advance = rescaled(count, total, sum(tournament.comparisons for tournament in held))
    while meetings := [(row, i, j) for row, tournament in enumerate(held) for i, j in tournament.round()]:
        odds: list[list[float]] = [[] for _ in held]
        for start in range(0, len(meetings), AT_ONCE):
            part = meetings[start : start + AT_ONCE]
            pairs = [(asked.rows[row][0], asked.rows[row][1][i], asked.rows[row][1][j]) for row, i, j in part]
            verdicts = compare(pairs, domains=[asked.domains[row] for row, _, _ in part], progress=advance)
            for (row, _, _), (_, a, b), verdict in zip(part, pairs, verdicts, strict=True):
                odds[row].append(verdict.logit)
                for text, side in ((a, "a"), (b, "b")):
                    _keep_largest(cuts[row][text], verdict.cut, {"prompt": "prompt", side: "response"})
        for tournament, found in zip(held, odds, strict=True):
            if found:
                tournament.record(found)
    count(total - done)  # of meetings that were not to be had, and those who had nobody to meet
    return [
        (tournament.scores(), [cut[text] for text in texts])
        for tournament, cut, (_, texts) in zip(held, cuts, asked.rows, strict=True)
    ]


def rescaled(progress: Progress | None, units: int, steps: int) -> Progress | None:
    """Turns counts of steps into counts of units, of which there are `units` for each `steps`."""
    if progress is None:
        return None
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done * units // steps, done + count
        progress(done * units // steps - before)

    return advance


def _keep_largest(kept: dict[str, int], cut: Mapping[str, int], names: Mapping[str, str]) -> None:
    """Adds to `kept`, under their new names, counts of `cut` that are larger than those there."""
    for name, new in names.items():
        if (count := cut.get(name, 0)) > kept.get(new, 0):
            kept[new] = count


def _all_pairs(count: int) -> np.ndarray:
    return np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)


def _circle(count: int) -> np.ndarray:
    """Everyone with the next one, and with the one about sqrt(count) places further on."""
    here = np.arange(count)
    return np.concatenate([np.stack([here, (here + hop) % count], 1) for hop in (1, round(count**0.5))])


def _fit(count: int, pairs: np.ndarray, odds: np.ndarray, guess: np.ndarray, *, complete: bool) -> np.ndarray:
    """The ratings [count] of least squares, of mean 0, over a connected graph of meetings.

    Conjugate gradients on the Laplacian of the graph, from a guess, in memory linear in the meetings.
    """
    first, second = pairs.T

    def gather(flow: np.ndarray) -> np.ndarray:
        return np.bincount(first, flow, count) - np.bincount(second, flow, count)

    size = float(np.abs(odds).max(initial=0.0))
    if size == 0:
        return np.zeros(count)
    if complete:
        return gather(odds) / count
    wanted = gather(odds / size)
    degree = np.bincount(pairs.ravel(), minlength=count)
    ratings = guess / size
    rest = wanted - gather(ratings[first] - ratings[second])
    step = rest / degree
    power = float(rest @ step)
    for _ in range(4 * count):  # far more than it takes
        if np.abs(rest).max() <= TOLERANCE:
            break
        flow = gather(step[first] - step[second])
        along = power / float(step @ flow)
        ratings, rest = ratings + along * step, rest - along * flow
        eased = rest / degree
        before, power = power, float(rest @ eased)
        step = eased + power / before * step
    return np.asarray((ratings - ratings.mean()) * size)
