"""Clocks: the shortest of several runs, and runs of rivals in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ranking.codes import Codes

__all__ = ["a_pass", "race", "seconds", "turns"]

Search = Callable[[Codes, int], Any]
ROUNDS = 4
SLICE = 0.06  # seconds: several passes of a fast rival, so that its caches are its own again


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turns(calls: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """All runs of each call in seconds.

    They take turns, so that a noisy minute of the machine falls on all of them. A turn lasts for
    one run and for ``SLICE`` at least.
    """
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            spent = 0.0
            while spent < SLICE:
                runs[name].append(seconds(call))
                spent += runs[name][-1]
    return runs


def race(calls: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, float]:
    """Shortest run of each call in seconds, see `turns`."""
    return {name: min(runs) for name, runs in turns(calls, rounds).items()}


def a_pass(search: Search, queries: Codes, k: int, single: bool) -> Callable[[], Any]:
    """A run that answers all queries: each by a call of its own, or all by one.

    Repeating one query would find its part of the index in the processor's caches, which no
    gallery in use can hope for; here the other queries come between.
    """
    if not single:
        return lambda: search(queries, k)
    alone = [query[None] for query in queries]

    def each() -> None:
        for query in alone:
            search(query, k)

    return each
