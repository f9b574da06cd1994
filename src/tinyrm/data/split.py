"""De-duplicating, and holding out rows so that no prompt stands on both sides."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tinyrm.types import Preference, Prompt

_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """Only the words of a text, case and compatibility forms folded, one space between them."""
    if text.isascii():
        return " ".join(_WORD.findall(text.lower()))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_WORD.findall(folded))


def deduplicate(preferences: Iterable[Preference]) -> tuple[list[Preference], int]:
    """Keeps one of each comparison (same prompt, same two responses) and none of those with several verdicts.

    Prompts are compared by `normalise`, responses only apart from white space: in code and mathematics
    a sign is often all that tells the right answer from the wrong one.

    Returns:
        The preferences kept, in their order, and the number dropped.
    """
    preferences = list(preferences)
    keys: list[tuple[bytes, bytes | None]] = []
    verdicts: dict[bytes, set[bytes | None]] = defaultdict(set)
    for preference in preferences:
        chosen, rejected = _digest(_words(preference.chosen)), _digest(_words(preference.rejected))
        pair = _digest(prompt_key(preference.prompt)) + min(chosen, rejected) + max(chosen, rejected)
        keys.append((pair, None if preference.tie else chosen))
        verdicts[pair].add(keys[-1][1])
    seen: set[bytes] = set()
    kept = []
    for preference, (pair, _) in zip(preferences, keys, strict=True):
        if len(verdicts[pair]) == 1 and pair not in seen:
            seen.add(pair)
            kept.append(preference)
    return kept, len(preferences) - len(kept)


def split_by_prompt(
    preferences: Sequence[Preference], share: float, max_rows: int, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """Training and held-out preferences: about `share` of the rows, at most `max_rows`, are held out.

    A prompt (normalised) stands on one side only. Which side depends on the prompt and the seed, not on
    the order of rows. Every source is held out in proportion, as far as its prompts are small enough.
    """
    groups: dict[str, list[Preference]] = defaultdict(list)
    for preference in preferences:
        groups[prompt_key(preference.prompt)].append(preference)
    by_source: dict[str, list[str]] = defaultdict(list)
    for key, group in groups.items():
        by_source[min(preference.source or "" for preference in group)].append(key)
    sizes = {source: sum(len(groups[key]) for key in keys) for source, keys in by_source.items()}
    quotas = _quotas(sizes, min(int(share * len(preferences)), max_rows))
    held: set[str] = set()
    for source, keys in by_source.items():
        left = quotas[source]
        for key in sorted(keys, key=lambda key: _digest(f"{seed}\0{key}")):
            if len(groups[key]) <= left:
                left -= len(groups[key])
                held.add(key)
    sides: tuple[list[Preference], list[Preference]] = ([], [])
    for preference in preferences:
        sides[prompt_key(preference.prompt) in held].append(preference)
    return sides


def prompt_key(prompt: Prompt) -> str:
    """What makes two prompts the same: their words, or, without any word, their characters."""
    text = "\n".join(turn.content for turn in prompt)
    return normalise(text) or text.strip()


def _quotas(sizes: dict[str, int], total: int) -> dict[str, int]:
    """`total` rows shared out in proportion to `sizes`, by largest remainder."""
    exact = {source: total * size / max(sum(sizes.values()), 1) for source, size in sizes.items()}
    quotas = {source: int(rows) for source, rows in exact.items()}
    first = sorted(exact, key=lambda source: (quotas[source] - exact[source], source))
    for source in first[: total - sum(quotas.values())]:
        quotas[source] += 1
    return quotas


def _words(text: str) -> str:
    return " ".join(text.split())


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
