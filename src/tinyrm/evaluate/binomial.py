"""Exact and nearly exact statements about a share."""

from __future__ import annotations

import math

from .bootstrap import Z


def wilson(right: float, n: float) -> tuple[float, float]:
    """95% interval of a share of which `right` of `n` independent rows were seen (Wilson 1927); (0, 1) if n is 0."""
    if n <= 0:
        return 0.0, 1.0
    share, weight = right / n, Z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    reach = Z / (1 + weight) * math.sqrt(max(share * (1 - share), 0) / n + weight / (4 * n))
    # Rounding must not put the interval's end beside a share of exactly 0 or 1.
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def fair_coin(heads: int, tails: int) -> float:
    """Two-sided probability that a fair coin falls as unevenly as this or more so; 1 if it was never thrown."""
    n, fewer = heads + tails, min(heads, tails)
    ways = tail = 1
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)  # n over k + 1
        tail += ways
    return min(1.0, float(2 * tail / 2**n))
