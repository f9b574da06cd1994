"""Fitting fields into a budget of tokens, so that none of them vanishes."""

from __future__ import annotations

from collections.abc import Sequence


def allot(needs: Sequence[int], weights: Sequence[float], room: int) -> list[int]:
    """Divides `room` tokens among fields that want `needs` tokens each.

    A field that wants less than its share (by weight) gets all it wants and passes the rest on; the
    others share what is left. The sum is min(room, sum(needs)), and no field gets less than the
    smaller of its need and its floored share of the whole room.
    """
    given = [0] * len(needs)
    waiting = list(range(len(needs)))
    while waiting:
        total = sum(weights[i] for i in waiting)
        content = [i for i in waiting if needs[i] * total <= room * weights[i]]
        if not content:
            shares = [int(room * weights[i] / total) for i in waiting]
            spare = room - sum(shares)
            for i, share in zip(waiting, shares, strict=True):
                given[i] = min(needs[i], share + (spare > 0))
                spare -= given[i] - share
            break
        for i in content:
            given[i] = needs[i]
            room -= needs[i]
            waiting.remove(i)
    return given


def shorten(ids: list[int], room: int, gap: list[int]) -> tuple[list[int], int]:
    """Keeps both ends of `ids` in at most `room` tokens, with `gap` where the middle was.

    The ends are kept because a response shows its stance at its start and its result at its end, and
    a prompt its question at either. Returns the ids and how many tokens were removed.
    """
    if len(ids) <= room:
        return ids, 0
    if room <= 2 * len(gap) + 2:
        return ids[:room], len(ids) - room
    kept = room - len(gap)
    head = (kept + 1) // 2
    return ids[:head] + gap + ids[len(ids) - (kept - head) :], len(ids) - kept
