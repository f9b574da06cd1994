"""Requests that should be answered though they sound bad, and requests that should not (`requests.json`).

Written for this project. The two go through the same forms and meet the same answers and the same refusals,
so that nothing but what is asked can tell them apart. No text there says how anything harmful is done.
"""

from __future__ import annotations

import json
from importlib import resources

_TEXTS = json.loads(resources.files(__package__).joinpath("requests.json").read_text("utf-8"))


def texts(name: str) -> tuple[str, ...]:
    """`{}` in a form, a refusal or an opening stands for the action that is asked about."""
    return tuple(_TEXTS[name])
