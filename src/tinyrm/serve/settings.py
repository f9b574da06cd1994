"""What a server is told at its start."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import UserError


@dataclass(frozen=True)
class Settings:
    """What `tinyrm serve` is told.

    host: loopback unless the user says otherwise. token: what callers must show, if any.
    max_wait_ms: how long a question waits for others to share a batch with, when nothing is being computed.
    max_tokens_per_batch: how much is computed at once; 0 is what the backend likes best.
    queue: questions waiting at most, in each process; past it callers are told to come back (429).
    deadline: seconds that a request may take from its last byte, and that its bytes may take to arrive.
    max_body: bytes of a request. max_items: responses of a request. max_chars: characters of one text.
    cors_origins: pages of other sites that a browser lets in; none by default.
    baseline: the answer that a model which only compares pairs measures a lone response by.
    """

    model: str | None = None
    backend: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    token: str | None = None
    max_wait_ms: float = 2.0
    max_tokens_per_batch: int = 0
    queue: int = 4096
    deadline: float = 30.0
    max_body: int = 8 << 20
    max_items: int = 256
    max_chars: int = 500_000
    cors_origins: tuple[str, ...] = ()
    baseline: str = "I don't know."

    def __post_init__(self) -> None:
        for name in ("workers", "queue", "max_body", "max_items", "max_chars", "deadline"):
            if getattr(self, name) <= 0:
                raise UserError(f"{_flag(name)} must be above 0, not {getattr(self, name)}")
        for name in ("max_wait_ms", "max_tokens_per_batch"):
            if getattr(self, name) < 0:
                raise UserError(f"{_flag(name)} must not be below 0, but it is {getattr(self, name)}")
        if self.max_items > self.queue:
            raise UserError(
                f"--max-items {self.max_items} is above --queue {self.queue}: such a request could never be taken"
            )
        if self.token is not None and not re.fullmatch(r"[!-~]+", self.token):
            raise UserError(
                "the token is blank, or holds blanks or characters that no header can: give another, or none"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
