"""All retrieval figures of one set of codes: `evaluate_codes` returns an `Evaluation`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import PAD_ID
from dsah_infer.errors import UsageError
from dsah_train.metrics.average_precision import mean_average_precision, precision_sums
from dsah_train.metrics.bits import code_health
from dsah_train.metrics.intervals import bootstrap_mean
from dsah_train.metrics.ranking import rank_gallery
from dsah_train.metrics.record import Curve, Evaluation
from dsah_train.metrics.ties import distance_histogram, tie_bounds

__all__ = ["evaluate_codes"]

LOOKUP_RADIUS = 2  # the radius that the literature reports
CURVE_POINTS = 200


def evaluate_codes(
    query_codes: npt.NDArray[np.uint8],
    query_targets: npt.NDArray[np.uint8],
    gallery_codes: npt.NDArray[np.uint8],
    gallery_targets: npt.NDArray[np.uint8],
    *,
    bits: int,
    symbol_bits: int = 1,
    arity: int | None = None,
    topk: tuple[int, ...] = (100, 1000, 5000),
    same_items: npt.NDArray[np.int64] | None = None,
    query_activations: npt.NDArray[np.float32] | None = None,
) -> Evaluation:
    """Rank the gallery for every query by `dsah_infer.HammingIndex` and score the rankings.

    Args:
        query_codes: Packed codes, uint8 (m, ceil(bits / 8)).
        query_targets: Multi-hot labels, uint8 (m, C); relevant = shares at least one label.
        gallery_codes: Packed codes, uint8 (n, ceil(bits / 8)).
        gallery_targets: Multi-hot labels, uint8 (n, C).
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        arity: Values of one symbol; None takes 2**symbol_bits.
        topk: Cut-offs for MAP@k and precision@N; those beyond the gallery are left out.
        same_items: Gallery row of each query itself, -1 for none, int64 (m,); left out.
        query_activations: float32 (m, bits) of sign codes, for the asymmetric MAP.

    Returns:
        The figures of `Evaluation`.

    Raises:
        UsageError: A cut-off below 1, empty input, or targets that do not fit the codes.
        CodeError: Codes of the wrong dtype or width.
    """
    if any(k < 1 for k in topk):
        raise UsageError(f"topk = {topk}, allowed: ranks of 1 or more")
    items = len(gallery_codes) - (0 if same_items is None else 1)
    cutoffs = tuple(sorted({k for k in topk if k <= items}))
    ranks = _curve_ranks(max(items, 1))
    levels = bits // symbol_bits + 1
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for chunk in rank_gallery(
        query_codes,
        query_targets,
        gallery_codes,
        gallery_targets,
        bits=bits,
        symbol_bits=symbol_bits,
        same_items=same_items,
    ):
        sums, hits = precision_sums(chunk.relevant, (*cutoffs, len(gallery_codes)))
        real = chunk.rows != PAD_ID
        for name, value in {
            "total": chunk.total,
            "sums": sums,
            "hits": hits,
            "hits_by_rank": np.cumsum(chunk.relevant, axis=1)[:, np.asarray(ranks) - 1],
            "within": distance_histogram(chunk.distances, real, levels),
            "hits_within": distance_histogram(chunk.distances, chunk.relevant, levels),
        }.items():
            parts.setdefault(name, []).append(value)
    table = {name: np.concatenate(values) for name, values in parts.items()}

    total = table["total"]
    ap = table["sums"][:, -1] / np.maximum(total, 1)
    ties = tie_bounds(table["within"], table["hits_within"])
    by_radius = _radius_curve(table["within"], table["hits_within"], total)
    ball = table["within"][:, : LOOKUP_RADIUS + 1].sum(axis=1)
    k = np.asarray(cutoffs, dtype=np.int64)
    sums, hits = table["sums"][:, :-1], table["hits"][:, :-1]
    return Evaluation(
        bits=bits,
        symbol_bits=symbol_bits,
        queries=len(query_codes),
        gallery=len(gallery_codes),
        queries_without_match=int((total == 0).sum()),
        map=float(ap.mean()),
        map_interval=bootstrap_mean(ap),
        map_expected=float(ties.expected.mean()),
        map_best=float(ties.best.mean()),
        map_worst=float(ties.worst.mean()),
        map_at=_by(cutoffs, sums / np.maximum(np.minimum(total[:, None], k), 1)),
        map_at_retrieved=_by(cutoffs, sums / np.maximum(hits, 1)),
        precision_at=_by(cutoffs, hits / np.maximum(k, 1)),
        precision_radius2=by_radius.precision[min(LOOKUP_RADIUS, levels - 1)],
        empty_radius2=float((ball == 0).mean()),
        map_asymmetric=None
        if query_activations is None
        else mean_average_precision(
            query_codes,
            query_targets,
            gallery_codes,
            gallery_targets,
            bits=bits,
            symbol_bits=symbol_bits,
            same_items=same_items,
            weights=query_activations,
        ),
        by_rank=Curve(
            ranks,
            _means(table["hits_by_rank"] / np.asarray(ranks)),
            _means(table["hits_by_rank"] / np.maximum(total[:, None], 1)),
        ),
        by_radius=by_radius,
        relevant_distances=tuple(table["hits_within"].sum(axis=0).tolist()),
        irrelevant_distances=tuple((table["within"] - table["hits_within"]).sum(axis=0).tolist()),
        health=code_health(gallery_codes, bits, symbol_bits=symbol_bits, arity=arity),
        average_precision=tuple(ap.tolist()),
        average_precision_expected=tuple(ties.expected.tolist()),
    )


def _curve_ranks(items: int) -> tuple[int, ...]:
    """About `CURVE_POINTS` ranks in 1..items, dense at the top where curves bend."""
    grid = np.concatenate(
        [np.geomspace(1, items, CURVE_POINTS // 2), np.linspace(1, items, CURVE_POINTS // 2)]
    )
    return tuple(np.unique(grid.round().astype(int)).tolist())


def _radius_curve(
    within: npt.NDArray[np.int64], hits: npt.NDArray[np.int64], total: npt.NDArray[np.int64]
) -> Curve:
    ball, found = np.cumsum(within, axis=1), np.cumsum(hits, axis=1)
    return Curve(
        tuple(range(ball.shape[1])),
        _means(found / np.maximum(ball, 1)),
        _means(found / np.maximum(total[:, None], 1)),
    )


def _means(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.mean(axis=0).tolist())


def _by(cutoffs: tuple[int, ...], values: npt.NDArray[np.float64]) -> dict[int, float]:
    return dict(zip(cutoffs, _means(values), strict=True))
