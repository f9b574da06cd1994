"""Rows of any usual shape -> preferences; de-duplicated, kept apart from benchmarks, split by prompt."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .leaks import Fingerprints, read_prompts, shipped_fingerprints
    from .load import BadRowAt, Loaded, load_preferences, load_rows
    from .mixture import Mixture, load_mixture
    from .rows import RawRow, read_rows
    from .shapes import Responses, to_preference, to_responses
    from .split import deduplicate, normalise, split_by_prompt
    from .turns import BadRow, parse_transcript

_HOME = {
    "BadRow": "turns",
    "BadRowAt": "load",
    "Fingerprints": "leaks",
    "Loaded": "load",
    "Mixture": "mixture",
    "RawRow": "rows",
    "Responses": "shapes",
    "deduplicate": "split",
    "load_mixture": "mixture",
    "load_preferences": "load",
    "load_rows": "load",
    "normalise": "split",
    "parse_transcript": "turns",
    "read_prompts": "leaks",
    "read_rows": "rows",
    "shipped_fingerprints": "leaks",
    "split_by_prompt": "split",
    "to_preference": "shapes",
    "to_responses": "shapes",
}

__all__ = [
    "BadRow",
    "BadRowAt",
    "Fingerprints",
    "Loaded",
    "Mixture",
    "RawRow",
    "Responses",
    "deduplicate",
    "load_mixture",
    "load_preferences",
    "load_rows",
    "normalise",
    "parse_transcript",
    "read_prompts",
    "read_rows",
    "shipped_fingerprints",
    "split_by_prompt",
    "to_preference",
    "to_responses",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
