"""Slow, obvious twins of the fast formulas: plain loops over the definitions.

A twin shares no code with what it checks, apart from the unpacking of bits by numpy.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def distance(a, b, bits, symbol_bits=1):
    """Differing symbols of two packed codes."""
    x, y = np.unpackbits(a, count=bits), np.unpackbits(b, count=bits)
    return sum(
        any(x[i : i + symbol_bits] != y[i : i + symbol_bits]) for i in range(0, bits, symbol_bits)
    )


def rank(query, gallery, bits, symbol_bits=1):
    """[(distance, id)] of one query, ascending, ties by ascending id."""
    return sorted((distance(query, code, bits, symbol_bits), i) for i, code in enumerate(gallery))


def average_precision(relevant, total, k=None):
    """AP of one ranking by the definition: mean of the precision at each relevant rank."""
    hits, score = 0, 0.0
    for r, hit in enumerate(relevant[:k], start=1):
        if hit:
            hits += 1
            score += hits / r
    denominator = total if k is None else min(total, k)
    return score / denominator if denominator else 0.0


def tie_orders(distances, relevant, k=None):
    """Expected, best and worst AP of one query: every order inside every tie is tried."""
    total = sum(relevant)
    blocks = [
        [bool(hit) for d, hit in zip(distances, relevant, strict=True) if d == level]
        for level in sorted(set(distances))
    ]
    scores = [
        average_precision([hit for block in order for hit in block], total, k)
        for order in itertools.product(*(itertools.permutations(block) for block in blocks))
    ]
    return sum(scores) / len(scores), max(scores), min(scores)


def entropy(values):
    """Shannon entropy in bits of the empirical distribution of hashable values."""
    counts = {v: values.count(v) for v in values}
    return -sum(c / len(values) * math.log2(c / len(values)) for c in counts.values())


def pointing_hit(saliency, mask):
    """Whether the first largest value, row by row, lies on the mask."""
    best, place = -1.0, None
    for y, row in enumerate(saliency):
        for x, value in enumerate(row):
            if value > best:
                best, place = value, (y, x)
    return bool(mask[place])
