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
    from .infer import Blender, Results, RewardModel, load, reward_function
    from .serve.client import AsyncClient, Client
    from .types import Message, Preference, Ranked, Reward, Verdict

_HOME = {
    "AsyncClient": ".serve.client",
    "Blender": ".infer",
    "Client": ".serve.client",
    "Message": ".types",
    "Preference": ".types",
    "Ranked": ".types",
    "Results": ".infer",
    "Reward": ".types",
    "RewardModel": ".infer",
    "UserError": ".errors",
    "Verdict": ".types",
    "load": ".infer",
    "reward_function": ".infer",
}

__all__ = [
    "AsyncClient",
    "Blender",
    "Client",
    "Message",
    "Preference",
    "Ranked",
    "Results",
    "Reward",
    "RewardModel",
    "UserError",
    "Verdict",
    "__version__",
    "load",
    "reward_function",
]


def __getattr__(name: str) -> Any:
    """Public names load their room when first used, so that `import tinyrm` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'tinyrm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
