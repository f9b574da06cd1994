"""How much of an accuracy is left when the judge cannot know what was asked.

What a judge gets right under the prompt of another row it knows from the responses alone: their length, their
tone, which model wrote them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyrm.data.split import prompt_key
from tinyrm.errors import UserError
from tinyrm.types import Preference

NAME = "prompt of another row"


def blinded(preferences: Sequence[Preference], seed: int = 0) -> list[Preference]:
    """The same rows, each under another one's prompt: a random cycle through all prompts, so that none keeps its own.

    Raises:
        UserError: all rows have one prompt.
    """
    keys = [prompt_key(preference.prompt) for preference in preferences]
    prompts = {key: preference.prompt for key, preference in zip(keys, preferences, strict=True)}
    if len(prompts) < 2:
        raise UserError("a judge is blinded by the prompts of other rows, but all rows have the same")
    around = [list(prompts)[i] for i in np.random.default_rng(seed).permutation(len(prompts))]
    after = dict(zip(around, [*around[1:], around[0]], strict=True))
    return [replace(p, prompt=prompts[after[key]]) for key, p in zip(keys, preferences, strict=True)]
