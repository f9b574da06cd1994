"""A TinyRM behind `tinyrm serve`: whole verdicts from /v1/compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tinyrm.errors import UserError
from tinyrm.types import Verdict

from .base import LoadedJudge, Pair, Progress, Protocol
from .http import STRANGE, Client, public
from .texts import as_messages

ROUTE = "/v1/compare"
PAIRS = 16
"""Pairs in a request."""


class TinyServerJudge(LoadedJudge):
    """`tinyrm serve` at an address without a path; what it serves it says itself."""

    knows_domains = True

    def __init__(self, url: str) -> None:
        name = f"tinyrm:{public(url)}"
        super().__init__({"name": name, "kind": "server"}, ("pair", "single"))
        self._client = Client(url.rstrip("/"), self.work.counts)
        served = self._post([])
        self.about["model"] = served["model"]
        self.protocols = (served["protocol"],)

    def _compare(
        self, pairs: Sequence[Pair], domains: Sequence[str | None], protocol: Protocol, progress: Progress
    ) -> list[Verdict]:
        asked = list(zip(pairs, domains, strict=True))
        chunks = [asked[start : start + PAIRS] for start in range(0, len(asked), PAIRS)]
        answered = self._client.map(self._ask, chunks, progress, weight=len)
        self.work.responses += len({(prompt, text) for prompt, *both in pairs for text in both})
        return [verdict for verdicts in answered for verdict in verdicts]

    def _ask(self, chunk: Sequence[tuple[Pair, str | None]]) -> list[Verdict]:
        items = [
            {"messages": as_messages(prompt), "a": a, "b": b} | ({"domain": domain} if domain else {})
            for (prompt, a, b), domain in chunk
        ]
        return [Verdict(**result) for result in self._post(items)["verdicts"]]

    def _post(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """`model`, `protocol` and the fields of the `verdicts`, checked."""
        answer = self._client.post({"items": items}, ROUTE)
        try:
            verdicts = [_fields(result) for result in answer["results"]]
            found = {"model": str(answer["model"]), "protocol": str(answer["protocol"]), "verdicts": verdicts}
        except STRANGE:
            raise UserError(f"{self._client.public}{ROUTE} does not answer like `tinyrm serve`") from None
        if len(verdicts) != len(items):
            raise UserError(f"{self._client.public} gave {len(verdicts)} verdicts on {len(items)} pairs")
        return found


def _fields(result: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict's fields; ValueError if one is out of its range."""
    chances = {name: float(result[name]) for name in ("p_a", "p_a_shown_first", "p_a_shown_second")}
    logit = float(result["logit"])
    if not all(0 <= p <= 1 for p in chances.values()) or math.isnan(logit):
        raise ValueError("no probability")
    cut = {str(name): int(tokens) for name, tokens in result.get("cut", {}).items()}
    return {**chances, "logit": logit, "cut": cut}
