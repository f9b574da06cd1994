"""Preferences that the project makes: from the training rows, or from nothing, where real ones are thin."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ...config import MadeConfig
from ...types import Preference
from . import degraded, neighbours, planted, refusals, styles


def make(rows: Sequence[Preference], config: MadeConfig, seed: int) -> list[Preference]:
    """What `data.made` asks for, as far as the rows give it; each kind is a source `made-KIND` of its own.

    Rows come from `rows` alone, so that nothing held out shows through, and depend on them, the counts and the seed.
    """
    found: list[Preference] = []
    for kind, maker in (
        ("neighbours", partial(neighbours.make, weak=config.neighbours_weak)),
        ("refusals", refusals.make),
        ("planted", planted.make),
        ("styles", partial(styles.make, without=config.styles_without)),
        ("degraded", degraded.make),
    ):
        count = getattr(config, kind)
        if count:
            made = maker(rows, count, random.Random(f"{seed} {kind}"))
            found += [replace(row, source=f"made-{kind}", id=f"made-{kind}-{i}") for i, row in enumerate(made)]
    return found
