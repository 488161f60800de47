"""Codes, clocks and comparisons shared by the sections of bench/rank.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from dsah_infer import HammingIndex

Codes = npt.NDArray[np.uint8]
SEED = 20240601
CENTRES = 1000


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
    index: HammingIndex, other: Any, queries: Codes, k: int, threads: int, single: bool
) -> dict[str, float]:
    """Microseconds per query of both, turn and turn about in one process, answers compared."""
    faiss.omp_set_num_threads(threads)
    batches: Sequence[Codes] = [q[None] for q in queries] if single else [queries]
    index.search(batches[0], k)  # the warm-up search
    ours, theirs = [], []
    for batch in batches:
        check(index.search(batch, k), other.search(batch, k))
        ours.append(best(lambda b=batch: index.search(b, k), budget=0.1 if single else 1.0))
        theirs.append(best(lambda b=batch: other.search(b, k), least=2, budget=0.1))
    queries_each = 1 if single else len(queries)
    mine, their = (1e6 * float(np.mean(t)) / queries_each for t in (ours, theirs))
    return {"ours_us": mine, "faiss_us": their, "ratio": their / mine}
