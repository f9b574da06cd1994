"""TinyRM: reward models so small that they run anywhere.

>>> import tinyrm
>>> model = tinyrm.load()
>>> model.compare("Name the capital of Australia.", "It is Canberra.", "Sydney, I would guess.").better
'A'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .errors import UserError
    from .infer import RewardModel, load
    from .types import Message, Preference, Ranked, Reward, Verdict

_HOME = {
    "Message": ".types",
    "Preference": ".types",
    "Ranked": ".types",
    "Reward": ".types",
    "RewardModel": ".infer",
    "UserError": ".errors",
    "Verdict": ".types",
    "load": ".infer",
}

__all__ = ["Message", "Preference", "Ranked", "Reward", "RewardModel", "UserError", "Verdict", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Public names load their room when first used, so that `import tinyrm` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'tinyrm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
