"""Average precision of rankings, and its mean over queries (MAP).

Definitions used everywhere in this project. For one query let rel(r) be 1 if the item at rank r
is relevant and P(r) = (rel(1) + ... + rel(r)) / r. With R relevant items in the gallery,

    AP@all = sum_r rel(r) P(r) / R                       (the whole gallery is ranked)
    AP@k   = sum_{r <= k} rel(r) P(r) / min(R, k)        (``map_at``)
    AP@k   = sum_{r <= k} rel(r) P(r) / (rel(1) + ... + rel(k))   (``map_at_retrieved``)

The last convention, common in hashing code, divides by what was *retrieved*: one relevant item
at rank 1 and none after it scores 1. It is reported for comparison with published MAP@k only.

Cut-off: none for AP@all, k otherwise. Ties: the order is the ranker's (distance, id), with ids
that `ranking.numbering` draws without a look at the labels; `ties` gives the expected, best and
worst AP over all orders of equal distances. A query without any relevant item in the gallery scores
0 and stays in the mean; how many there are is reported.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import UsageError
from dsah_train.metrics.ranking import rank_gallery

__all__ = ["average_precision", "mean_average_precision", "precision_sums"]


def precision_sums(
    relevant: npt.NDArray[np.bool_], cutoffs: tuple[int, ...] = ()
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """sum_{r <= k} rel(r) P(r) and the number of relevant items retrieved, per cut-off.

    Args:
        relevant: Relevance in rank order, bool (m, n).
        cutoffs: Ranks k >= 1; those beyond n mean n.

    Returns:
        Sums float64 (m, len(cutoffs)) and counts int64 (m, len(cutoffs)).
    """
    hits = np.cumsum(relevant, axis=1, dtype=np.int32)
    ranks = np.arange(1, relevant.shape[1] + 1)
    sums = np.cumsum(np.where(relevant, hits / ranks, 0.0), axis=1)
    at = np.minimum(np.asarray(cutoffs, dtype=np.int64), relevant.shape[1]) - 1
    return sums[:, at], hits[:, at].astype(np.int64)


def average_precision(
    relevant: npt.NDArray[np.bool_], total: npt.NDArray[np.int64], k: int | None = None
) -> npt.NDArray[np.float64]:
    """AP of each query: AP@all, or AP@k with denominator min(R, k).

    Args:
        relevant: Relevance in rank order, bool (m, n).
        total: R, relevant items in the whole gallery, int64 (m,).
        k: Cut-off rank; the whole ranking by default.

    Returns:
        float64 (m,) in [0, 1]; 0 where R is 0.
    """
    sums, _ = precision_sums(relevant, (k or relevant.shape[1],))
    denominator = total if k is None else np.minimum(total, k)
    return sums[:, 0] / np.maximum(denominator, 1)


def mean_average_precision(
    query_codes: npt.NDArray[np.uint8],
    query_targets: npt.NDArray[np.uint8],
    gallery_codes: npt.NDArray[np.uint8],
    gallery_targets: npt.NDArray[np.uint8],
    *,
    bits: int,
    symbol_bits: int = 1,
    topk: int | None = None,
    same_items: npt.NDArray[np.int64] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
) -> float:
    """MAP of packed codes, as defined at the top of this module.

    Args:
        query_codes: Packed codes, uint8 (m, ceil(bits / 8)).
        query_targets: Multi-hot labels, uint8 (m, C); relevant = shares at least one label.
        gallery_codes: Packed codes, uint8 (n, ceil(bits / 8)).
        gallery_targets: Multi-hot labels, uint8 (n, C).
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        topk: Cut-off k with denominator min(R, k); the whole gallery (denominator R) by default.
        same_items: Gallery row of each query itself, -1 for none, int64 (m,); left out.
        weights: Query activations float32 (m, bits): rank sign codes asymmetrically instead.

    Returns:
        Mean over all queries, in [0, 1]; a query without relevant items counts as 0.

    Raises:
        UsageError: topk < 1, empty input, or targets that do not fit the codes.
        CodeError: Codes of the wrong dtype or width.
    """
    if topk is not None and topk < 1:
        raise UsageError(f"topk = {topk}, allowed: 1 or more, or None for the whole gallery")
    scores = []
    for chunk in rank_gallery(
        query_codes,
        query_targets,
        gallery_codes,
        gallery_targets,
        bits=bits,
        symbol_bits=symbol_bits,
        same_items=same_items,
        weights=weights,
        k=topk,
    ):
        scores.append(average_precision(chunk.relevant, chunk.total, topk))
    return float(np.concatenate(scores).mean())
