"""What every loaded judge has: a name, a protocol, a record of its work, and verdicts that treat both orders alike."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tinyrm.errors import UserError
from tinyrm.model.calibration import sigmoid
from tinyrm.types import Prompt, Verdict

from ..cost import Cost, Work, measure
from ..judging import SUREST

Progress: TypeAlias = Callable[[int], None]
Protocol: TypeAlias = Literal["single", "pair"]
Pair: TypeAlias = tuple[Prompt, str, str]
BATCH = 64
"""Rows that are handed over at a time where the judge forms no batches of its own."""


class LoadedJudge(ABC):
    """A judge as `load_judge` gives it.

    about: who it is, for the record of an evaluation: at least `name` and `kind`, and `sha256` where it has files.
    protocols: what it can do, what it does unasked first: `single` (each response alone) or `pair`.
    work: what it did so far.
    """

    knows_domains = False

    def __init__(self, about: Mapping[str, Any], protocols: Sequence[Protocol]) -> None:
        self.about = dict(about)
        self.protocols = tuple(protocols)
        self.work = Work()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.about['name']!r})"

    def compare_many(
        self,
        pairs: Sequence[Pair],
        *,
        domains: Sequence[str | None] | None = None,
        protocol: Protocol | None = None,
        progress: Progress | None = None,
    ) -> list[Verdict]:
        """One verdict for each (prompt, A, B), in order; see `tinyrm.evaluate.Judge`.

        Raises:
            UserError: the judge does not know this protocol, or failed in a way the user can mend.
        """
        if protocol is not None:
            self._check(protocol)
        if any(domains or ()) and not self.knows_domains:
            raise UserError(f"{self.about['name']} knows no domains: leave --domains to a TinyRM")
        start = time.perf_counter()
        verdicts = self._compare(
            pairs, domains or [None] * len(pairs), protocol or self.protocols[0], progress or (lambda done: None)
        )
        self.work.seconds += time.perf_counter() - start
        self.work.pairs += len(pairs)
        return verdicts

    def cost(self) -> Cost:
        """What its work cost so far."""
        return measure(self.work)

    def work_done(self) -> str:
        """Cost and counts in one sentence."""
        counts = "".join(f", {name} {count:,}" for name, count in sorted(self.work.counts.items()))
        return f"Cost: {self.cost()}{counts}."

    def _check(self, protocol: Protocol) -> None:
        if protocol not in self.protocols:
            does = "scores responses one by one" if self.protocols == ("single",) else "only compares pairs"
            raise UserError(f"{self.about['name']} {does}: it knows no protocol {protocol!r}")

    @abstractmethod
    def _compare(
        self, pairs: Sequence[Pair], domains: Sequence[str | None], protocol: Protocol, progress: Progress
    ) -> list[Verdict]: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """The reward of one response, and tokens cut to fit the judge's length by field (`prompt`, `response`)."""

    reward: float
    cut: Mapping[str, int] = field(default_factory=dict)


class ScoringJudge(LoadedJudge):
    """A judge that scores responses alone: p = sigmoid(reward of A - reward of B), the same in both orders."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        super().__init__(about, ("single",))

    @abstractmethod
    def score_many(self, responses: Sequence[tuple[Prompt, str]], progress: Progress) -> list[Scored]:
        """The reward of each (prompt, response); `progress` is told the responses done since it was last called."""

    def _compare(
        self, pairs: Sequence[Pair], domains: Sequence[str | None], protocol: Protocol, progress: Progress
    ) -> list[Verdict]:
        asked = list(dict.fromkeys((prompt, text) for prompt, *both in pairs for text in both))
        scored = self.score_many(asked, _in_proportion(len(asked), len(pairs), progress))
        if len(scored) != len(asked):
            raise UserError(f"{self.about['name']} gave {len(scored)} rewards for {len(asked)} responses")
        self.work.responses += len(asked)
        of = dict(zip(asked, scored, strict=True))
        return [self._verdict(of[prompt, a], of[prompt, b]) for prompt, a, b in pairs]

    def _verdict(self, a: Scored, b: Scored) -> Verdict:
        if not (math.isfinite(a.reward) and math.isfinite(b.reward)):
            raise UserError(f"{self.about['name']} gave a reward that is no finite number")
        logit = a.reward - b.reward
        p = sigmoid(logit)
        cut = {
            "prompt": max(a.cut.get("prompt", 0), b.cut.get("prompt", 0)),
            "a": a.cut.get("response", 0),
            "b": b.cut.get("response", 0),
        }
        return Verdict(p, logit, p, p, {name: tokens for name, tokens in cut.items() if tokens})


class PairJudge(LoadedJudge):
    """A judge that reads both responses together: it is asked in both orders, and their log-odds are averaged."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        super().__init__(about, ("pair",))

    @abstractmethod
    def first_wins(self, pairs: Sequence[Pair], progress: Progress) -> list[float]:
        """Log-odds that the response shown first is the better one; infinite ones are allowed."""

    def _compare(
        self, pairs: Sequence[Pair], domains: Sequence[str | None], protocol: Protocol, progress: Progress
    ) -> list[Verdict]:
        shown = [order for prompt, a, b in pairs for order in ((prompt, a, b), (prompt, b, a))]
        asked = list(dict.fromkeys(shown))
        odds = self.first_wins(asked, _in_proportion(len(asked), len(pairs), progress))
        if len(odds) != len(asked):
            raise UserError(f"{self.about['name']} gave {len(odds)} verdicts on {len(asked)} pairs")
        self.work.responses += len({(prompt, text) for prompt, *both in pairs for text in both})
        of = dict(zip(asked, odds, strict=True))
        return [self._verdict(of[prompt, a, b], -of[prompt, b, a]) for prompt, a, b in pairs]

    def _verdict(self, first: float, second: float) -> Verdict:
        if math.isnan(first) or math.isnan(second):
            raise UserError(f"{self.about['name']} gave a probability that is no number")
        first, second = (min(max(odds, -SUREST), SUREST) for odds in (first, second))
        logit = (first + second) / 2
        return Verdict(sigmoid(logit), logit, sigmoid(first), sigmoid(second))


def _in_proportion(asked: int, pairs: int, progress: Progress) -> Progress:
    """Turns counts of what is asked into counts of pairs, which add up to all pairs in the end."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        before, done = done * pairs // asked, done + count
        progress(done * pairs // asked - before)

    return advance
