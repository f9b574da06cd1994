"""A TinyRM as a judge, with what it computes counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tinyrm.errors import UserError
from tinyrm.infer import RewardModel, load
from tinyrm.infer.engine import Backend
from tinyrm.infer.loading import BackendName, find
from tinyrm.model.checkpoint import CONFIG
from tinyrm.types import Verdict

from ..cost import Architecture, Cost, Work, architecture_of, measure
from .base import LoadedJudge, Pair, Progress, Protocol


class TinyJudge(LoadedJudge):
    """A TinyRM checkpoint: a folder, a name of the Hub, or None for the default model."""

    knows_domains = True

    def __init__(self, name_or_path: str | Path | None = None, *, backend: BackendName = "auto") -> None:
        self.model: RewardModel = load(name_or_path, backend=backend)
        manifest = self.model.manifest
        everything = json.dumps(asdict(manifest), sort_keys=True)
        about = {
            "name": manifest.name,
            "kind": "tinyrm",
            # Of the manifest, which holds the hashes of all files that decide a score.
            "sha256": hashlib.sha256(everything.encode()).hexdigest(),
            "backend": self.model.backend.name,
        }
        templates = manifest.templates
        protocols: list[Protocol] = [kind for kind in ("pair", "single") if kind in templates]  # type: ignore[misc]
        super().__init__(about, protocols or ["pair"])
        self.model.backend = _Counted(self.model.backend, self.work)
        self._architecture = _architecture(find(name_or_path))

    def cost(self) -> Cost:
        manifest = self.model.manifest
        return measure(self.work, self._architecture, head=manifest.head, words=len(manifest.all_word_ids()))

    def _check(self, protocol: Protocol) -> None:
        """The model itself says which template it lacks."""

    def _compare(
        self, pairs: Sequence[Pair], domains: Sequence[str | None], protocol: Protocol, progress: Progress
    ) -> list[Verdict]:
        return self.model.compare_many(pairs, domains=domains, protocol=protocol, progress=progress)


class _Counted:
    """A backend that notes the lengths of what it computes."""

    def __init__(self, backend: Backend, work: Work) -> None:
        self._backend, self._work = backend, work
        self.name, self.computes = backend.name, backend.computes
        self.pad, self.tokens_per_batch = backend.pad, backend.tokens_per_batch

    def describe(self) -> str:
        return self._backend.describe()

    def logits(self, ids: np.ndarray, mask: np.ndarray, slot: np.ndarray) -> np.ndarray:
        self._work.lengths.update(mask.sum(axis=1).tolist())
        self._work.responses += len(mask)  # a pair in both orders is two sequences, one a response
        return self._backend.logits(ids, mask, slot)


def _architecture(folder: Path) -> Architecture | None:
    """The sizes of the model, if its folder tells them and there is a formula for them."""
    try:
        return architecture_of(json.loads((folder / CONFIG).read_text("utf-8")))
    except (OSError, ValueError, AttributeError, UserError):
        return None
