"""Exact search beside FAISS's: sizes, lengths, learned codes, instruction sets.

Rows of top-10 and top-100, of one thread and two.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from dsah_infer._core import available_isas
from ranking.beside_faiss import compare, flat, index_of
from ranking.clock import a_pass, turns
from ranking.codes import ONE_BY_ONE, SEED, learned_codes, random_codes

__all__ = ["collapsed", "isas", "learned", "lengths", "random64"]

Rows = list[dict[str, Any]]


def _settings() -> Iterator[tuple[int, int]]:
    """Threads and k of every table."""
    yield from ((threads, k) for threads in (1, 2) for k in (10, 100))


def random64(scale: float) -> Rows:
    """64 random bits, default settings: floors 8x (1 M, one query), 3.2x (10 M), 11x (256 queries).

    ``scan_ratio`` and ``scan_Gcodes_s`` are those of the plain scan, ``sublinear=False``.
    """
    rows: Rows = []
    for n, floor in ((1_000_000, 8.0), (10_000_000, 3.2)):
        n = int(n * scale)
        codes = random_codes(n, 64)
        other = flat(codes)
        for m in (1, 256):
            least = floor if m == 1 else 11.0
            queries = random_codes(ONE_BY_ONE if m == 1 else m, 64, SEED + 9)
            for threads, k in _settings():
                index = index_of(codes, 64, threads)
                plain = index_of(codes, 64, threads, sublinear=False)
                row = compare(index, other, queries, k, threads, m == 1, plain)
                extra = index.stats()["sublinear_bytes"] / n
                rows.append(
                    {"codes": n, "queries": m, "k": k, "threads": threads}
                    | row
                    | {
                        "extra_bytes_per_code": extra,
                        "floor": least,
                        "holds": row["least_ratio"] >= least,
                    }
                )
    return rows


def lengths(scale: float) -> Rows:
    """Other code lengths, 256 queries, plain scan: within 25 % of a bound that 64-bit codes set.

    Two bounds, each what 64-bit codes reach with the same k and threads, in turns with the others:
    bytes of code compared per second, and counts of up to 64 bits per second (a code shorter than
    64 bits costs a whole count, one of 512 bits eight). The floor asks for .75 of one of them.
    """
    n = int(1_000_000 * scale)
    rows: Rows = []
    codes_64, queries_64 = random_codes(n, 64), random_codes(256, 64, SEED + 9)
    for bits in (64, 32, 48, 128, 256, 512):
        codes, queries = random_codes(n, bits), random_codes(256, bits, SEED + 9)
        other = flat(codes)
        for threads, k in _settings():
            index = index_of(codes, bits, threads, sublinear=False)
            row = compare(index, other, queries, k, threads, False)
            index_64 = index_of(codes_64, 64, threads, sublinear=False)
            index_64.search(queries_64, k)
            both = {"this": a_pass(index.search, queries, k, False)}
            both["64"] = a_pass(index_64.search, queries_64, k, False)
            runs = turns(both, rounds=8)
            took = {name: 1e6 * median(times) / len(queries) for name, times in runs.items()}
            gigabytes = n * codes.shape[1] / took["this"] / 1e3
            counts = n * -(-bits // 64) / took["this"] / 1e3
            most = n * 8 / took["64"] / 1e3, n / took["64"] / 1e3
            shares = gigabytes / most[0], counts / most[1]
            rows.append(
                {"bits": bits, "codes": n, "k": k, "threads": threads}
                | row
                | {"GB_s": gigabytes, "bound_GB_s": most[0], "of_bytes_bound": shares[0]}
                | {"Gcounts_s": counts, "bound_Gcounts_s": most[1], "of_counts_bound": shares[1]}
                | {"floor": 0.75, "holds": max(shares) >= 0.75}
            )
    return rows


def collapsed(scale: float) -> Rows:
    """Short, learned and repeated codes, default settings: never slower than 64 random bits."""
    n = int(1_000_000 * scale)
    cases = [("64 random", 64, random_codes(n, 64)), ("12 random", 12, random_codes(n, 12))]
    cases += [(f"{b} learned p=.05", b, learned_codes(n, b, 0.05)) for b in (24, 48)]
    cases += [("64 random, each 100 times", 64, random_codes(n // 100, 64).repeat(100, axis=0))]
    rows: Rows = []
    base: dict[tuple[int, int, bool], float] = {}
    for name, bits, codes in cases:
        other = flat(codes)
        for single in (True, False):
            queries = codes[:: n // 256][: ONE_BY_ONE if single else 256]
            for threads, k in _settings():
                index = index_of(codes, bits, threads)
                row = compare(index, other, queries, k, threads, single)
                share = row["ours_us"] / base.setdefault((threads, k, single), row["ours_us"])
                rows.append(
                    {"case": name, "codes": n, "queries": 1 if single else 256}
                    | {"k": k, "threads": threads}
                    | row
                    | {"times_64_random": share, "at_most": 1.0, "holds": share <= 1.0}
                )
    return rows


def learned(scale: float) -> Rows:
    """Learned-like codes, 10 M, one query: floors 100x, 60x, 30x."""
    n = int(10_000_000 * scale)
    rows: Rows = []
    for flip, floor in ((0.02, 100.0), (0.05, 60.0), (0.10, 30.0)):
        codes = learned_codes(n, 64, flip)
        queries = learned_codes(ONE_BY_ONE, 64, flip, SEED + 9)
        other = flat(codes)
        for threads, k in _settings():
            index = index_of(codes, 64, threads)
            row = compare(index, other, queries, k, threads, True)
            stats = index.stats()
            rows.append(
                {"flip": flip, "codes": n, "k": k, "threads": threads}
                | row
                | {"distinct": stats["distinct_codes"], "build_s": stats["sublinear_seconds"]}
                | {"extra_bytes_per_code": stats["sublinear_bytes"] / n}
                | {"floor": floor, "holds": row["least_ratio"] >= floor}
            )
    return rows


def isas(scale: float) -> Rows:
    """Kernels forced with isa=, against FAISS as installed: floors 3x (avx2) and 1.5x (popcnt).

    FAISS as installed runs an AVX-512 kernel of its own where the CPU has one, so of a scan by avx2
    no 3x can be had there: four table look-ups stand against one instruction. ``scan_ratio`` shows
    it.
    """
    n = int(1_000_000 * scale)
    codes = random_codes(n, 64)
    other = flat(codes)
    floors = {"avx2": 3.0, "popcnt": 1.5}
    rows: Rows = []
    for isa in available_isas():
        for m in (1, 256):
            queries = random_codes(ONE_BY_ONE if m == 1 else m, 64, SEED + 9)
            for threads, k in _settings():
                index = index_of(codes, 64, threads, isa=isa)
                plain = index_of(codes, 64, threads, isa=isa, sublinear=False)
                row = compare(index, other, queries, k, threads, m == 1, plain)
                row = {"isa": isa, "codes": n, "queries": m, "k": k, "threads": threads} | row
                if isa in floors:
                    row |= {"floor": floors[isa], "holds": row["least_ratio"] >= floors[isa]}
                rows.append(row)
    return rows
