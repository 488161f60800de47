"""What a query costs as the gallery grows, and beside USearch."""

from __future__ import annotations

from typing import Any

import numpy as np
from usearch.index import MetricKind
from usearch.index import search as usearch_search

from ranking.beside_faiss import check, compare, flat, index_of
from ranking.clock import race
from ranking.codes import ONE_BY_ONE, SEED, random_codes

__all__ = ["slope", "usearch"]

Rows = list[dict[str, Any]]


def slope(scale: float) -> Rows:
    """Cost of one query, top-10, one thread, 1e4 to 1e8 random 64-bit codes, and its exponent."""
    rows: Rows = []
    sizes = [int(n * scale) for n in (1e4, 1e5, 1e6, 1e7, 1e8) if n * scale >= 1e3]
    codes = random_codes(sizes[-1], 64)
    for n in sizes:
        index, other = index_of(codes[:n], 64, 1), flat(codes[:n])
        row = compare(index, other, random_codes(ONE_BY_ONE, 64, SEED + 9), 10, 1, True)
        step = rows[-1] if rows else None
        for who in ("ours", "faiss"):
            grown = np.log(row[f"{who}_us"] / step[f"{who}_us"]) if step else np.nan
            row[f"{who}_slope"] = float(grown / np.log(n / step["codes"])) if step else None
        rows.append({"codes": n} | row | {"build_s": index.stats()["sublinear_seconds"]})
    return rows


def usearch(scale: float) -> Rows:
    """USearch's exact search, 1 M random 64-bit codes, 8 queries at a time; answers compared."""
    n = int(1_000_000 * scale)
    codes, queries = random_codes(n, 64), random_codes(8, 64, SEED + 9)
    rows: Rows = []
    for threads in (1, 2):
        index = index_of(codes, 64, threads)
        for k in (10, 100):

            def theirs(k: int = k, threads: int = threads) -> Any:
                return usearch_search(
                    codes, queries, k, MetricKind.Hamming, exact=True, threads=threads
                )

            found = theirs()
            check(index.search(queries, k), (found.distances, found.keys))
            took = race(
                {"ours": lambda k=k, index=index: index.search(queries, k), "theirs": theirs},
                rounds=2,
            )
            rows.append(
                {"codes": n, "queries": 8, "k": k, "threads": threads}
                | {"ours_us": 1e6 * took["ours"] / 8, "usearch_us": 1e6 * took["theirs"] / 8}
                | {"ratio": took["theirs"] / took["ours"]}
            )
    return rows
