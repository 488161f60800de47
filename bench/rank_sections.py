"""The sections of bench/rank.py: each returns rows for one table of the report."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rank_measure import (
    ONE_BY_ONE,
    SEED,
    Codes,
    best,
    compare,
    flat,
    learned_codes,
    one_by_one,
    random_codes,
)
from usearch.index import MetricKind
from usearch.index import search as usearch_search

from dsah_infer import HammingIndex
from dsah_infer._core import available_isas

Rows = list[dict[str, Any]]


def index_of(codes: Codes, bits: int, threads: int, **options: Any) -> HammingIndex:
    index = HammingIndex(bits, threads=threads, **options)
    index.add(codes)
    return index


def random64(scale: float) -> Rows:
    """64 random bits: floors 8x (1 M, one query), 3.2x (10 M, one), 11x (256 queries)."""
    rows: Rows = []
    for n, floor in ((1_000_000, 8.0), (10_000_000, 3.2)):
        n = int(n * scale)
        codes, other = random_codes(n, 64), None
        other = flat(codes)
        for threads in (1, 2):
            for m in (1, 256):
                queries = random_codes(ONE_BY_ONE if m == 1 else m, 64, SEED + 9)
                for k in (10, 100):
                    index = index_of(codes, 64, threads)
                    row = compare(index, other, queries, k, threads, m == 1)
                    path = index.explain()["path"]
                    plain = index_of(codes, 64, threads, sublinear=False)
                    scan = compare(plain, other, queries, k, threads, m == 1, row["faiss_us"])
                    rows.append(
                        {"codes": n, "queries": m, "k": k, "threads": threads, "path": path}
                        | row
                        | {"scan_ratio": scan["ratio"], "scan_Gcodes_s": n / scan["ours_us"] / 1e3}
                        | {"floor": floor if m == 1 else 11.0}
                    )
    return rows


def lengths(scale: float) -> Rows:
    """Other code lengths, 256 queries: 64-bit lanes per second against those of 64-bit codes."""
    n = int(1_000_000 * scale)
    rows: Rows = []
    bound = 0.0
    for bits in (64, 32, 48, 128, 256, 512):
        codes, queries = random_codes(n, bits), random_codes(256, bits, SEED + 9)
        index = index_of(codes, bits, 1, sublinear=False)
        row = compare(index, flat(codes), queries, 100, 1, False)
        lanes = max(1.0, index.stats()["bytes_per_code"] / 8)
        rate = n * lanes / row["ours_us"] / 1e3
        bound = bound or rate
        rows.append(
            {"bits": bits, "codes": n}
            | row
            | {"Glanes_s": rate, "GB_s": n * bits / 8 / row["ours_us"] / 1e3}
            | {"of_64_bit_rate": rate / bound, "floor": 0.75}
        )
    return rows


def collapsed(scale: float) -> Rows:
    """Short and learned codes must not be slower than 64 random bits."""
    n = int(1_000_000 * scale)
    cases = [("64 random", 64, random_codes(n, 64)), ("12 random", 12, random_codes(n, 12))]
    cases += [(f"{b} learned p=.05", b, learned_codes(n, b, 0.05)) for b in (24, 48)]
    rows: Rows = []
    for name, bits, codes in cases:
        for single in (True, False):
            queries = codes[:: n // 256][: ONE_BY_ONE if single else 256]
            row = compare(index_of(codes, bits, 1), flat(codes), queries, 100, 1, single)
            base = next((r["ours_us"] for r in rows if r["one_query"] == single), row["ours_us"])
            rows.append(
                {"case": name, "codes": n, "one_query": single}
                | row
                | {"times_64_random": row["ours_us"] / base, "at_most": 1.0}
            )
    return rows


def learned(scale: float) -> Rows:
    """Learned-like codes, 10 M, one query, top-100: floors 100x, 60x, 30x."""
    n = int(10_000_000 * scale)
    rows: Rows = []
    for flip, floor in ((0.02, 100.0), (0.05, 60.0), (0.10, 30.0)):
        codes = learned_codes(n, 64, flip)
        queries = learned_codes(ONE_BY_ONE, 64, flip, SEED + 9)
        index = index_of(codes, 64, 1)
        row = compare(index, flat(codes), queries, 100, 1, True)
        stats = index.stats()
        rows.append(
            {"flip": flip, "codes": n}
            | row
            | {"path": index.explain()["path"], "distinct": stats["distinct_codes"]}
            | {"build_s": stats["sublinear_seconds"]}
            | {"extra_bytes_per_code": stats["sublinear_bytes"] / n, "floor": floor}
        )
    return rows


def recall(scale: float) -> Rows:
    """Approximate indexes of FAISS at several settings; ours is exact, so its recall is 1."""
    rows: Rows = []
    faiss.omp_set_num_threads(os.cpu_count() or 1)  # to build; searches take one thread

    def row(name: str, n: int, setting: str, search: Callable[[Codes, int], Any]) -> None:
        faiss.omp_set_num_threads(1)
        took = one_by_one(search, queries, 100, budget=0.2)
        hits = sum(
            int((search(query[None], 100)[0] <= bound).sum())
            for query, bound in zip(queries, bounds, strict=True)
        )
        rows.append(
            {"index": name, "codes": n, "setting": setting, "us": 1e6 * took}
            | {"recall": min(1.0, hits / (100 * len(queries)))}
        )
        faiss.omp_set_num_threads(os.cpu_count() or 1)

    for n, names in (
        (int(10_000_000 * scale), ("IVF", "MultiHash")),
        (int(1_000_000 * scale), ("HNSW",)),
    ):
        codes, queries = learned_codes(n, 64, 0.05), learned_codes(ONE_BY_ONE, 64, 0.05, SEED + 9)
        index = index_of(codes, 64, 1)
        for _ in range(2):
            distances, _ = index.search(queries, 100)
        bounds = distances[:, -1]
        row("HammingIndex", n, "exact", index.search)
        if "IVF" in names:
            quantizer = faiss.IndexBinaryFlat(64)
            ivf = faiss.IndexBinaryIVF(quantizer, 64, max(16, int(4096 * scale)))
            ivf.train(codes[:: max(1, n // 200_000)])
            ivf.add(codes)
            for ivf.nprobe in (1, 4, 16, 64, 256):
                row("IVF", n, f"nprobe {ivf.nprobe}", ivf.search)
            del ivf
            hashes = faiss.IndexBinaryMultiHash(64, 4, 16)
            hashes.add(codes)
            for hashes.nflip in (0, 1, 2):
                row("MultiHash", n, f"nflip {hashes.nflip}", hashes.search)
            del hashes
        if "HNSW" in names:
            graph = faiss.IndexBinaryHNSW(64, 16)
            graph.add(codes)
            for ef in (100, 200, 400, 800):
                graph.hnsw.efSearch = ef
                row("HNSW", n, f"efSearch {ef}", graph.search)
    return rows


def isas(scale: float) -> Rows:
    """Kernels forced with isa=, against FAISS as installed: floors 3x (avx2) and 1.5x (popcnt).

    FAISS as installed runs an AVX-512 kernel of its own where the CPU has one, so avx2 misses 3x
    there: four table look-ups stand against one instruction.
    """
    n = int(1_000_000 * scale)
    codes, queries = random_codes(n, 64), random_codes(256, 64, SEED + 9)
    other = flat(codes)
    floors = {"avx2": 3.0, "popcnt": 1.5}
    return [
        {"isa": isa, "codes": n, "queries": 256}
        | compare(index_of(codes, 64, 1, isa=isa, sublinear=False), other, queries, 100, 1, False)
        | {"floor": floors.get(isa)}
        for isa in available_isas()
    ]


def storage(scale: float) -> Rows:
    """add, save and open: floors 100 M codes/s; disk speed; under 10 ms."""
    n, large = int(10_000_000 * scale), int(100_000_000 * scale)
    codes = random_codes(n, 64)
    rate = n / best(lambda: HammingIndex(64).add(codes)) / 1e6
    rows: Rows = [{"what": "add, implicit ids", "value": rate, "unit": "M codes/s", "floor": 100}]
    index = index_of(codes, 64, 1)
    for _ in range(large // n - 1):
        index.add(codes)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        path, raw = Path(folder) / "a", Path(folder) / "raw"

        def write_raw() -> None:
            with raw.open("wb") as file:
                for _ in range(large // n):
                    file.write(codes)
                file.flush()
                os.fsync(file.fileno())

        disk = best(write_raw, least=2, budget=0)
        raw.unlink()
        start = time.perf_counter()
        index.save(path)
        saved = time.perf_counter() - start
        size = path.stat().st_size / 1e9
        rows.append({"what": f"save {large} codes", "value": size / saved, "unit": "GB/s"})
        rows.append({"what": "plain write of as many bytes", "value": size / disk, "unit": "GB/s"})
        took = best(lambda: HammingIndex.load(path, mmap=True))
        rows.append(
            {"what": f"map {large} codes", "value": 1e3 * took, "unit": "ms", "at_most": 10}
        )
    return rows


def slope(scale: float) -> Rows:
    """Cost of one query, top-10, from 1e4 to 1e8 random 64-bit codes, and its exponent."""
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
        stats = index.stats()
        rows.append({"codes": n} | row | {"path": index.explain()["path"]}
                    | {"build_s": stats["sublinear_seconds"]})  # fmt: skip
    return rows


def usearch(scale: float) -> Rows:
    """USearch's exact search, 1 M random 64-bit codes, one thread."""
    n = int(1_000_000 * scale)
    codes, queries = random_codes(n, 64), random_codes(8, 64, SEED + 9)
    index = index_of(codes, 64, 1, sublinear=False)
    index.search(queries, 10)

    def theirs() -> Any:
        return usearch_search(codes, queries, 10, MetricKind.Hamming, exact=True, threads=1)

    np.testing.assert_array_equal(theirs().distances, index.search(queries, 10)[0])
    ours, other = best(lambda: index.search(queries, 10)), best(theirs, least=1, budget=0)
    return [{"codes": n, "queries": 8, "ours_us": 1e6 * ours / 8, "usearch_us": 1e6 * other / 8,
             "ratio": other / ours}]  # fmt: skip


SECTIONS: dict[str, Callable[[float], Rows]] = {
    f.__name__: f
    for f in (random64, lengths, collapsed, learned, isas, storage, usearch, recall, slope)
}
