"""Approximate indexes of FAISS at several settings, beside exact search."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from ranking.beside_faiss import index_of
from ranking.clock import a_pass, race, seconds
from ranking.codes import ONE_BY_ONE, SEED, Codes, learned_codes

__all__ = ["recall"]

Rows = list[dict[str, Any]]
Search = Callable[[Codes, int], Any]
SLOW = 2.0  # seconds a pass: one is enough


def recall(scale: float) -> Rows:
    """Learned-like codes (p = .05), one query: FAISS's approximate indexes at several settings.

    Ours is exact, so its recall is 1. ``times_ours`` is the cost of the row over that of exact
    search with the same k; above 1 at any recall, ours is ahead at equal recall too. One thread:
    FAISS shares out queries, not one query, so a second thread changes nothing for theirs. IVF has
    4,096 lists, near the square root of 10 M, where its own cost is least.
    """
    rows: Rows = []
    for n, build in ((int(10_000_000 * scale), _ten_million), (int(1_000_000 * scale), _graph)):
        codes, queries = learned_codes(n, 64, 0.05), learned_codes(ONE_BY_ONE, 64, 0.05, SEED + 9)
        index = index_of(codes, 64, 1)
        bounds, exact = {}, {}
        for k in (10, 100):
            index.search(queries[:1], k)
            exact[k] = race({"ours": a_pass(index.search, queries, k, True)})["ours"] / len(queries)
            bounds[k] = index.search(queries, k)[0][:, -1]
            rows.append({"index": "HammingIndex", "codes": n, "k": k, "setting": "exact",
                         "us": 1e6 * exact[k], "recall": 1.0})  # fmt: skip

        def measure(
            name: str,
            setting: str,
            search: Search,
            n: int = n,
            queries: Codes = queries,
            bounds: dict[int, Any] = bounds,
            exact: dict[int, float] = exact,
        ) -> None:
            faiss.omp_set_num_threads(1)
            for k in bounds:
                found: list[int] = []

                def answer(query: Codes, k: int, found: list[int] = found) -> None:
                    found.append(int((search(query, k)[0] <= bounds[k][len(found), None]).sum()))

                # Sums of 100 numbers cost nothing beside their searches.
                took = seconds(a_pass(answer, queries, k, True))
                if took < SLOW:
                    took = race({"theirs": a_pass(search, queries, k, True)})["theirs"]
                times = took / len(queries) / exact[k]
                rows.append(
                    {"index": name, "codes": n, "k": k, "setting": setting}
                    | {"us": 1e6 * took / len(queries)}
                    | {"recall": min(1.0, sum(found) / (k * len(queries)))}
                    | {"times_ours": times, "floor": 1.0, "holds": times >= 1.0}
                )

        build(codes, scale, measure)
    return rows


def _ten_million(codes: Codes, scale: float, measure: Callable[[str, str, Search], None]) -> None:
    faiss.omp_set_num_threads(os.cpu_count() or 1)  # to build; searches take one thread
    ivf = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(64), 64, max(16, int(4096 * scale)))
    ivf.train(np.ascontiguousarray(codes[:: max(1, len(codes) // 200_000)]))
    ivf.add(codes)
    for ivf.nprobe in (1, 4, 16, 64, 256):
        measure("IVF", f"nprobe {ivf.nprobe}", ivf.search)
    del ivf
    hashes = faiss.IndexBinaryMultiHash(64, 4, 16)
    hashes.add(codes)
    for hashes.nflip in (0, 1, 2):
        measure("MultiHash", f"nflip {hashes.nflip}", hashes.search)


def _graph(codes: Codes, scale: float, measure: Callable[[str, str, Search], None]) -> None:
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    graph = faiss.IndexBinaryHNSW(64, 16)
    graph.add(codes)
    for ef in (10, 30, 100, 200, 400, 800):
        graph.hnsw.efSearch = ef
        measure("HNSW", f"efSearch {ef}", graph.search)
