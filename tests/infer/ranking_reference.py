"""Slow and obvious: what `HammingIndex` must return, in plain NumPy."""

from __future__ import annotations

import numpy as np


def random_codes(rng, n, bits, *, distinct=None):
    """Packed codes (n, bytes) with zero padding; from only ``distinct`` different ones if given."""
    pool = np.packbits(rng.integers(0, 2, (distinct or n, bits), dtype=np.uint8), axis=1)
    return pool if distinct is None else pool[rng.integers(0, distinct, n)]


def distances(queries, codes, bits, symbol_bits=1):
    """Differing symbols of each query with each code, (m, n)."""
    differ = np.unpackbits(queries[:, None] ^ codes[None], axis=-1, count=bits)
    return differ.reshape(len(queries), len(codes), -1, symbol_bits).any(-1).sum(-1)


def ranking(queries, codes, ids, k, bits, symbol_bits=1):
    """Distances and ids (m, k), by (distance, id), padded."""
    m = len(queries)
    out_d, out_i = np.full((m, k), 2**31 - 1, np.int32), np.full((m, k), -1, np.int64)
    if len(codes):
        for row, near in enumerate(distances(queries, codes, bits, symbol_bits)):
            order = np.lexsort((ids, near))[:k]
            out_d[row, : len(order)], out_i[row, : len(order)] = near[order], ids[order]
    return out_d, out_i


def weighted_ranking(query, activations, codes, ids, k, bits):
    """One query's top-k by (asymmetric distance, Hamming distance, id): Hamming, ids, sums.

    Sums are of integers, as `HammingIndex` rounds: |activation| in units of 2**-40 of the power
    of two above the largest.
    """
    size = np.abs(activations.astype(np.float64))
    _, exponent = np.frexp(np.float32(size.max()))
    units = np.rint(np.ldexp(size, 40 - int(exponent))).astype(np.int64)
    differ = np.unpackbits(codes ^ query, axis=1, count=bits).astype(np.int64)
    sums, near = differ @ units, differ.sum(1)
    order = np.lexsort((ids, near, sums))[:k]
    return near[order], ids[order], sums[order]
