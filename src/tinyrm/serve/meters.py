"""What Prometheus is told: of one process, or of all that share PROMETHEUS_MULTIPROC_DIR."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder where processes share their numbers."""
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (32, 128, 512, 1024, 2048, 4096, 8192, 16384, 65536)


class Meters:
    """The server's counters; no label holds anything that a caller wrote."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        own = CollectorRegistry()
        self._own = own
        self.answered = 0
        """Requests that this process answered."""
        self.requests = Counter("tinyrm_requests", "Requests answered.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "tinyrm_request_seconds", "From first to last byte.", ["route"], registry=own, buckets=_SECONDS
        )
        self.questions = Counter("tinyrm_questions", "Questions computed.", registry=own)
        self.tokens = Counter("tinyrm_tokens", "Tokens read by the model.", registry=own)
        self.batches = Histogram(
            "tinyrm_batch_questions", "Questions that shared a batch.", registry=own, buckets=_COUNTS
        )
        self.batch_tokens = Histogram(
            "tinyrm_batch_tokens", "Tokens of a batch, as guessed before.", registry=own, buckets=_TOKENS
        )
        self.batch_seconds = Histogram("tinyrm_batch_seconds", "Time of a batch.", registry=own, buckets=_SECONDS)
        self.waiting = Gauge(
            "tinyrm_waiting_questions", "Questions that wait.", registry=own, multiprocess_mode="livesum"
        )
        self.open = Gauge("tinyrm_open_requests", "Requests being handled.", registry=own, multiprocess_mode="livesum")
        if SHARED not in os.environ:
            ProcessCollector(registry=own)

    def exposition(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        if SHARED not in os.environ:
            return generate_latest(self._own)
        forget_the_dead(Path(os.environ[SHARED]))
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)


def forget_the_dead(folder: Path) -> None:
    """Removes the gauges of processes that were killed: nothing waits in them any more."""
    if os.name == "nt":
        return  # there, asking whether a process lives ends it
    for file in folder.glob("gauge_live*_*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except (PermissionError, ValueError):
            pass
