"""Learning rates to try, one after the other, until the best has a worse one on either side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["best_rate", "next_rate"]


def next_rate(
    tried: Mapping[float, float], ladder: Sequence[float], first: Sequence[float]
) -> float | None:
    """The rate to try next.

    Args:
        tried: Score of each rate so far.
        ladder: All rates that may be tried, in order.
        first: Those that are tried in any case.

    Returns:
        A rate of the ladder; None where the best one tried has both its neighbours tried, or is an
        end of the ladder.
    """
    wanted = list(first)
    if tried:
        best = ladder.index(best_rate(tried))
        wanted += ladder[max(best - 1, 0) : best + 2]
    return next((rate for rate in wanted if rate not in tried), None)


def best_rate(tried: Mapping[float, float]) -> float:
    """The rate of the highest score; the first of equal ones."""
    return max(tried, key=lambda rate: tried[rate])
