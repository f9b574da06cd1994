"""Any judge by one function: a TinyRM, a peer, a function, a server, a chat model; docs/judges.md lists the specs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tinyrm.errors import UserError, nearest
from tinyrm.infer.loading import BackendName, find

from .base import LoadedJudge, PairJudge, Scored, ScoringJudge
from .hub import is_classifier

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_CHAT = re.compile(r"(?P<model>.+?)(?:@(?P<url>https?://.+))?")
OPENAI = "https://api.openai.com/v1"


def load_judge(spec: str | Path | None = None, *, backend: BackendName = "auto") -> LoadedJudge:
    """The judge that a spec names.

        None                              the default model
        NAME_OR_PATH                      a TinyRM, or a sequence classifier (told by config.json)
        hf:NAME_OR_PATH                   a sequence classifier of Hugging Face
        similarity:NAME_OR_PATH           cosine of prompt and response by a sentence encoder; `minilm` needs no network
        MODULE:FUNCTION                   (prompts, responses) -> rewards
        pairwise:MODULE:FUNCTION          (prompts, first, second) -> probabilities that the first is better
        tinyrm:URL                        `tinyrm serve`
        openrlhf:URL, vllm-score:URL, vllm-classify:URL, tei-predict:URL    a server of that shape
        openai:MODEL@URL                  a chat model; URL ends with /v1

    Args:
        backend: what computes a TinyRM.

    Raises:
        UserError: the spec names nothing, or it cannot be loaded.
    """
    if spec is None or isinstance(spec, Path) or Path(spec).exists() or ":" not in spec:
        return _by_folder(spec, backend)
    kind, _, rest = spec.partition(":")
    if kind in KINDS and rest:
        return KINDS[kind](rest)
    if _FUNCTION.fullmatch(spec):
        from .function import FunctionJudge

        return FunctionJudge(spec)
    if kind in ("http", "https"):
        raise UserError(f"{spec} needs the shape of its answers before it, as in openrlhf:{spec}; known: {SERVERS}")
    raise UserError(f"no judge is named {spec!r}{nearest(kind, KINDS)}")


def _by_folder(name: str | Path | None, backend: BackendName) -> LoadedJudge:
    from tinyrm.model.checkpoint import MANIFEST

    if name is not None:
        folder = find(name)
        if not (folder / MANIFEST).exists() and is_classifier(folder):
            return _classifier(str(name))
    from .tiny import TinyJudge

    return TinyJudge(name, backend=backend)


def _classifier(rest: str) -> LoadedJudge:
    from .classifier import ClassifierJudge

    return ClassifierJudge(rest)


def _similarity(rest: str) -> LoadedJudge:
    from .similarity import SimilarityJudge

    return SimilarityJudge(rest)


def _pairwise(rest: str) -> LoadedJudge:
    from .function import PairFunctionJudge

    if not _FUNCTION.fullmatch(rest):
        raise UserError(f"pairwise:{rest} names no function: pairwise:MODULE:FUNCTION")
    return PairFunctionJudge(rest)


def _chat(rest: str) -> LoadedJudge:
    from .chat import ChatJudge

    found = _CHAT.fullmatch(rest)
    if found is None:
        raise UserError(f"openai:{rest} names no model: openai:MODEL@http://HOST:PORT/v1")
    return ChatJudge(found["model"], found["url"] or OPENAI)


def _tiny_server(rest: str) -> LoadedJudge:
    from .tiny_server import TinyServerJudge

    return TinyServerJudge(rest)


def _server(shape: str) -> Callable[[str], LoadedJudge]:
    def connect(address: str) -> LoadedJudge:
        from .server import ServerJudge

        return ServerJudge(shape, address)  # type: ignore[arg-type]

    return connect


_SHAPES = ("openrlhf", "vllm-score", "vllm-classify", "tei-predict")
SERVERS = ", ".join(_SHAPES)
KINDS: dict[str, Callable[[str], LoadedJudge]] = {
    "hf": _classifier,
    "similarity": _similarity,
    "pairwise": _pairwise,
    "openai": _chat,
    "tinyrm": _tiny_server,
    **{shape: _server(shape) for shape in _SHAPES},
}
"""What may stand before the first colon of a spec."""

__all__ = ["KINDS", "LoadedJudge", "PairJudge", "Scored", "ScoringJudge", "load_judge"]
