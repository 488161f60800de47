"""HammingIndex and FAISS IndexBinaryFlat over the same codes: answers compared, then timed."""

from __future__ import annotations

from statistics import median
from typing import Any

import faiss
import numpy as np

from dsah_infer import HammingIndex
from ranking.clock import a_pass, seconds, turns
from ranking.codes import Codes

__all__ = ["check", "compare", "flat", "index_of"]

FAISS_QUERIES = 16  # it scans for every query, so a few of them tell the time of one


def index_of(codes: Codes, bits: int, threads: int, **options: Any) -> HammingIndex:
    """Ours, after ``add``."""
    index = HammingIndex(bits, threads=threads, **options)
    index.add(codes)
    return index


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
        assert set(mine[inside]) == set(np.asarray(their_ids)[inside].astype(np.int64))


def compare(
    index: HammingIndex,
    other: Any,
    queries: Codes,
    k: int,
    threads: int,
    single: bool,
    plain: HammingIndex | None = None,
) -> dict[str, Any]:
    """Microseconds per query of both in one process, answers compared.

    The index has had ``add`` only. It gets one warm-up search, of one query or of a whole batch;
    then `first_us` is the very first pass through all queries. The others are the best of some
    passes in turns, `median_ratio` compares the medians of these, and `first_ratio` our first pass
    with the best of theirs. `least_ratio` is the smallest of the three: floors are about that.

    Args:
        plain: The same codes with ``sublinear=False``, to be timed as well.
    """
    faiss.omp_set_num_threads(threads)
    index.search(queries[:1] if single else queries, k)
    mine = a_pass(index.search, queries, k, single)
    first = seconds(mine)
    check(_answers(index, queries, k, single), other.search(queries, k))
    theirs = queries[:FAISS_QUERIES] if single else queries
    calls = {"ours": mine, "faiss": a_pass(other.search, theirs, k, single)}
    if plain is not None:
        check(_answers(plain, queries, k, single), other.search(queries, k))
        calls["scan"] = a_pass(plain.search, queries, k, single)
    runs = turns(calls)
    took = {name: min(times) for name, times in runs.items()}
    mine()
    path = index.explain()[
        "path"
    ]  # the planner goes by what it has measured: perhaps not the first
    ours, faiss_ = took["ours"] / len(queries), took["faiss"] / len(theirs)
    medians = {name: median(times) for name, times in runs.items()}
    ratios = {
        "ratio": faiss_ / ours,
        "median_ratio": medians["faiss"] / len(theirs) / medians["ours"] * len(queries),
        "first_ratio": faiss_ / first * len(queries),
    }
    row = {
        "path": path,
        "first_us": 1e6 * first / len(queries),
        "ours_us": 1e6 * ours,
        "faiss_us": 1e6 * faiss_,
        **ratios,
        "least_ratio": min(ratios.values()),
    }
    if plain is not None:
        scan = took["scan"] / len(queries)
        row |= {"scan_ratio": faiss_ / scan, "scan_Gcodes_s": len(plain) / scan / 1e9}
    return row


def _answers(index: HammingIndex, queries: Codes, k: int, single: bool) -> tuple[Any, Any]:
    if not single:
        return index.search(queries, k)
    each = [index.search(query[None], k) for query in queries]
    distances, ids = (np.concatenate(part) for part in zip(*each, strict=True))
    return distances, ids
