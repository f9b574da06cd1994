"""Requests that should be answered though they sound bad, and requests that should not (`requests.json`).

Written for this project, after the kinds that XSTest names (arXiv 2308.01263: words with two senses, safe targets and
contexts, definitions, history, fiction) but without its prompts or twins of them. Both sorts of actions go through the
same forms and meet the same answers and the same refusals, so that what is asked has to tell them apart. No text there
says how anything harmful is done.
"""

from __future__ import annotations

import json
import re
from importlib import resources

_TEXTS = json.loads(resources.files(__package__).joinpath("requests.json").read_text("utf-8"))
_YOURS = {"my": "your", "me": "you", "myself": "yourself", "i": "you", "mine": "yours", "am": "are"}


def texts(name: str) -> tuple[str, ...]:
    """`{}` in a form, a refusal or an opening stands for the action that is asked about."""
    return tuple(_TEXTS[name])


def as_answered(action: str) -> str:
    """An action of the asker's as the answerer says it: my brother becomes your brother."""
    return re.sub(r"\b(my|me|myself|mine|i|am)\b", lambda word: _YOURS[word[0].lower()], action, flags=re.IGNORECASE)
