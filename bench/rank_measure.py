"""Codes, clocks and comparisons shared by the sections of bench/rank.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from dsah_infer import HammingIndex

Codes = npt.NDArray[np.uint8]
Search = Callable[[Codes, int], Any]
SEED = 20240601
CENTRES = 1000
ONE_BY_ONE = 128  # distinct queries where each is a call of its own


def random_codes(n: int, bits: int, seed: int = SEED) -> Codes:
    """Uniform packed codes (n, bits / 8); 12 bits take 2 bytes, padded."""
    codes = np.random.default_rng(seed).integers(0, 256, (n, (bits + 7) // 8), dtype=np.uint8)
    if bits % 8:
        codes[:, -1] &= 0xFF << (8 - bits % 8) & 0xFF
    return codes


def learned_codes(n: int, bits: int, flip: float, seed: int = SEED) -> Codes:
    """1000 random centres; each code is a centre with every bit flipped with probability flip."""
    centres = np.random.default_rng(SEED + 1).integers(0, 256, (CENTRES, bits // 8), np.uint8)
    rng = np.random.default_rng(seed)
    codes = centres[rng.integers(0, CENTRES, n)]
    for start in range(0, n, 1 << 20):
        part = codes[start : start + (1 << 20)]
        part ^= np.packbits(rng.random((len(part), bits), dtype=np.float32) < flip, axis=1)
    return codes


def best(call: Callable[[], Any], least: int = 3, budget: float = 1.0) -> float:
    """Shortest of repeated runs in seconds: at least ``least``, and until ``budget`` is spent."""
    shortest, spent, runs = float("inf"), 0.0, 0
    while runs < least or (spent < budget and runs < 50):
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
        shortest, spent, runs = min(shortest, took), spent + took, runs + 1
    return shortest


def one_by_one(search: Search, queries: Codes, k: int, budget: float = 0.5) -> float:
    """Seconds per query when each is a call of its own: the best of some passes through all.

    Repeating one query would find its part of the index in the processor's caches, which no
    gallery in use can hope for; here the other queries come between.
    """
    alone = [query[None] for query in queries]

    def a_pass() -> None:
        for query in alone:
            search(query, k)

    return best(a_pass, least=2, budget=budget) / len(alone)


def together(search: Search, queries: Codes, k: int, budget: float = 0.5) -> float:
    """Seconds per query when all are one call."""
    return best(lambda: search(queries, k), least=2, budget=budget) / len(queries)


def flat(codes: Codes) -> Any:
    """FAISS's exact index of the same codes."""
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    return index


def check(ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> None:
    """Same distances; same ids but for the choice among equals at the k-th distance; our order."""
    distances, ids = ours
    np.testing.assert_array_equal(distances, theirs[0])
    keys = distances.astype(np.float64) * 2**32 + ids
    assert (np.diff(keys, axis=1) > 0).all(), "not in the order (distance, id)"
    for mine, their_ids, near in zip(ids, theirs[1], distances, strict=True):
        inside = near < near[-1]
        assert set(mine[inside]) == set(their_ids[inside])


def compare(
    index: HammingIndex,
    other: Any,
    queries: Codes,
    k: int,
    threads: int,
    single: bool,
    theirs: float | None = None,
) -> dict[str, float]:
    """Microseconds per query of both in one process, answers compared.

    ``theirs`` is FAISS's time where the same codes, queries and k were just measured. FAISS scans
    for every query, so a few of them tell the time of one.
    """
    faiss.omp_set_num_threads(threads)
    measure = one_by_one if single else together
    if single:
        index.search(queries[:1], k)  # the warm-up search
        answers = [index.search(query[None], k) for query in queries]
        distances, ids = (np.concatenate(part) for part in zip(*answers, strict=True))
        check((distances, ids), other.search(queries, k))
    else:
        check(index.search(queries, k), other.search(queries, k))
    mine = 1e6 * measure(index.search, queries, k)
    if theirs is None:
        theirs = 1e6 * measure(other.search, queries[:16] if single else queries, k, budget=0.2)
    return {"ours_us": mine, "faiss_us": theirs, "ratio": theirs / mine}
