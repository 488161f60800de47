"""Expected, best and worst average precision over all orders of equal distances, exactly.

Codes of few bits put thousands of items at the same distance, and the order inside such a tie is
an accident of the gallery's numbering. Let a block of equal distance start behind s items, of
which r are relevant, and hold n items, m of them relevant. Averaged over the n! orders, position
j of the block is relevant with probability m / n, and then expects (j - 1)(m - 1) / (n - 1)
relevant items before it inside the block, so the block adds (McSherry and Najork, "Computing
information retrieval performance measures efficiently in the presence of tied scores", 2008)

    m / n * sum_{j=1..n} (r + 1 + (j - 1)(m - 1) / (n - 1)) / (s + j)

to the sum of rel(r) P(r). With relevant items first, or last, it adds

    sum_{j=1..m} (r + j) / (s + j)          sum_{j=1..m} (r + j) / (s + n - m + j).

All three are closed forms in the harmonic numbers H, so only the histogram of distances counts
and no order is ever enumerated: a sum of (a + b j) / (c + j) over j = 1..t equals
b t + (a - b c) (H(c + t) - H(c)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["TieBounds", "distance_histogram", "tie_bounds"]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class TieBounds(NamedTuple):
    """AP of each query over the orders of equal distances, float64 (m,) each."""

    expected: Floats
    best: Floats
    worst: Floats


def distance_histogram(
    distances: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], levels: int
) -> Counts:
    """How many of the masked items lie at each distance.

    Args:
        distances: Integer distances (m, n) in 0..levels - 1 where the mask is set.
        mask: Items to count, bool (m, n).
        levels: Number of distance levels.

    Returns:
        int64 (m, levels).
    """
    rows = np.broadcast_to(np.arange(len(distances))[:, None], distances.shape)
    flat = rows[mask] * levels + distances[mask]
    return np.bincount(flat, minlength=len(distances) * levels).reshape(-1, levels)


def tie_bounds(total: Counts, relevant: Counts, k: int | None = None) -> TieBounds:
    """Exact expected, best and worst AP over all orders of equal distances.

    Args:
        total: Items per distance level, int64 (m, levels).
        relevant: Relevant items per distance level, int64 (m, levels).
        k: Cut-off rank (denominator min(R, k)); the whole gallery (denominator R) by default.

    Returns:
        Three arrays (m,), each in [0, 1]; 0 for a query without relevant items.
    """
    ranked = np.cumsum(total, axis=1)
    found = np.cumsum(relevant, axis=1)
    size, hits = total, relevant
    before, before_hits = ranked - size, found - hits
    limit = int(ranked[:, -1].max(initial=0)) if k is None else k
    # Positions of each block that the cut-off leaves.
    open_to = np.clip(limit - before, 0, size)
    harmonic = np.concatenate(
        ([0.0], np.cumsum(1.0 / np.arange(1, int(ranked.max(initial=0)) + 1)))
    )

    def series(a: Floats | Counts, b: Floats | float, c: Counts, t: Counts) -> Floats:
        """sum_{j=1..t} (a + b j) / (c + j)"""
        result: Floats = b * t + (a - b * c) * (harmonic[c + t] - harmonic[c])
        return result

    growth = np.where(size > 1, (hits - 1) / np.maximum(size - 1, 1), 0.0)
    density = hits / np.maximum(size, 1)
    expected = density * series(before_hits + 1 - growth, growth, before, open_to)
    best = series(before_hits, 1.0, before, np.minimum(hits, open_to))
    # Relevant items last: the first size - hits positions of the block are misses.
    misses = size - hits
    worst = series(before_hits, 1.0, before + misses, np.maximum(open_to - misses, 0))
    every = found[:, -1]
    denominator = np.maximum(every if k is None else np.minimum(every, k), 1)
    return TieBounds(*((part.sum(axis=1) / denominator) for part in (expected, best, worst)))
