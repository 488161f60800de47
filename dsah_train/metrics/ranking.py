"""Rank a gallery for a set of queries through the production ranker, and say what is relevant.

Every figure of this package starts here, so there is one tie order, (distance, id), and it is
the order that `dsah_infer.HammingIndex` returns in production. Which of equal distances comes
first is an accident of the ids, so they must know nothing of the labels. Row numbers do: data sets
lie class after class, a tie then holds whole classes one behind the other, and that averages a
higher precision than a mixed order (.66 instead of .52 where 16 classes share 8 codes). The
gallery is therefore numbered by a fixed permutation, `numbering`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import PAD_ID, check_codes
from dsah_infer.errors import UsageError
from dsah_infer.index import HammingIndex

__all__ = ["RankedChunk", "check_targets", "numbering", "rank_gallery", "relevance"]

# A full ranking holds a distance, an id and a relevance per (query, gallery) pair. Four million
# pairs keep a chunk near 100 MB: CIFAR-10's 1,000 x 59,000 ranks in 15 chunks.
PAIRS_PER_CHUNK = 4_000_000

NUMBERING_SEED = 0


@dataclass(frozen=True)
class RankedChunk:
    """The full ranking of the gallery for some consecutive queries.

    Attributes:
        start: Row of the first query of the chunk.
        distances: Ascending distances, int32 (c, n).
        rows: Gallery rows in that order, int64 (c, n); `PAD_ID` for the query's own.
        relevant: Whether each ranked item is relevant, bool (c, n).
        total: Relevant items in the whole gallery, the query itself left out, int64 (c,).
    """

    start: int
    distances: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    relevant: npt.NDArray[np.bool_]
    total: npt.NDArray[np.int64]


def numbering(items: int) -> npt.NDArray[np.int64]:
    """How a gallery is numbered: the row of each id, int64 (items,).

    It depends on nothing but the number of items, so MAP in the order (distance, id) is one
    sample of the orders of equal distances whose exact mean `ties` computes.
    """
    return np.random.default_rng(NUMBERING_SEED).permutation(items)


def check_targets(targets: object, rows: int, *, what: str) -> npt.NDArray[np.uint8]:
    """Return multi-hot targets as uint8 (rows, C), values 0 or 1.

    Raises:
        UsageError: Another type, shape or value.
    """
    if not isinstance(targets, np.ndarray) or targets.ndim != 2 or len(targets) != rows:
        given = targets.shape if isinstance(targets, np.ndarray) else type(targets).__name__
        raise UsageError(
            f"{what}: got {given}, expected a multi-hot array ({rows}, classes) with one row per "
            "code; class indices become one with numpy.eye(classes, dtype=numpy.uint8)[indices]"
        )
    if targets.size and not np.isin(targets, (0, 1)).all():
        raise UsageError(f"{what}: multi-hot targets hold only 0 and 1")
    return targets.astype(np.uint8, copy=False)


def relevance(
    query_targets: npt.NDArray[np.uint8], gallery_targets: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Whether a query and a gallery item share at least one label (S_ij of the papers).

    Args:
        query_targets: Multi-hot, uint8 (m, C).
        gallery_targets: Multi-hot, uint8 (n, C).

    Returns:
        bool (m, n). An item without any label is relevant to nothing.
    """
    # float32, because only floating point products run through BLAS.
    shared = query_targets.astype(np.float32) @ gallery_targets.astype(np.float32).T
    return shared > 0


def rank_gallery(
    query_codes: npt.NDArray[np.uint8],
    query_targets: npt.NDArray[np.uint8],
    gallery_codes: npt.NDArray[np.uint8],
    gallery_targets: npt.NDArray[np.uint8],
    *,
    bits: int,
    symbol_bits: int = 1,
    same_items: npt.NDArray[np.int64] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
    k: int | None = None,
) -> Iterator[RankedChunk]:
    """Rank the gallery for every query, a bounded number of queries at a time.

    Args:
        query_codes: Packed codes, uint8 (m, ceil(bits / 8)).
        query_targets: Multi-hot labels, uint8 (m, C).
        gallery_codes: Packed codes, uint8 (n, ceil(bits / 8)).
        gallery_targets: Multi-hot labels, uint8 (n, C).
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        same_items: int64 (m,): gallery row that is the query itself, -1 where there is none.
            A picture does not find itself: that row moves behind the last item, is called
            `PAD_ID` there, and counts as irrelevant.
        weights: Query activations float32 (m, bits): the asymmetric order of
            `HammingIndex.search`, for sign codes only.
        k: Items per query; the whole gallery by default.

    Yields:
        Chunks of queries in order; c x min(k, n) items each.

    Raises:
        UsageError: Empty queries or gallery, or targets that do not fit the codes.
        CodeError: Codes of the wrong dtype or width.
    """
    queries = check_codes(query_codes, bits, what="query codes")
    gallery = check_codes(gallery_codes, bits, what="gallery codes")
    if not len(queries) or not len(gallery):
        raise UsageError(
            f"{len(queries)} query codes and {len(gallery)} gallery codes: ranking needs at least "
            "one of each"
        )
    query_targets = check_targets(query_targets, len(queries), what="query targets")
    gallery_targets = check_targets(gallery_targets, len(gallery), what="gallery targets")
    if query_targets.shape[1] != gallery_targets.shape[1]:
        raise UsageError(
            f"query targets have {query_targets.shape[1]} classes, gallery targets "
            f"{gallery_targets.shape[1]}; both must use the same class list"
        )
    if same_items is not None and (
        same_items.shape != (len(queries),) or (same_items >= len(gallery)).any()
    ):
        raise UsageError(
            f"same_items has shape {same_items.shape} and largest row "
            f"{same_items.max(initial=-1)}; expected ({len(queries)},) with gallery rows below "
            f"{len(gallery)}, or -1"
        )

    index = HammingIndex(bits, symbol_bits=symbol_bits)
    row_of = numbering(len(gallery))
    index.add(gallery[row_of])
    # One more than asked for: leaving out the query's own row must not shorten the list.
    spare = 0 if same_items is None else 1
    k = len(gallery) if k is None else min(k, len(gallery))
    step = max(1, PAIRS_PER_CHUNK // len(gallery))
    for start in range(0, len(queries), step):
        asked = slice(start, start + step)
        distances, ids = index.search(
            queries[asked],
            min(k + spare, len(gallery)),
            weights=None if weights is None else weights[asked],
        )
        rows = row_of[ids]
        relevant = relevance(query_targets[asked], gallery_targets)
        if same_items is not None:
            own = np.flatnonzero(same_items[asked] >= 0)
            relevant[own, same_items[asked][own]] = False
        total = relevant.sum(axis=1)
        relevant = np.take_along_axis(relevant, rows, axis=1)
        if same_items is not None:
            distances, rows, relevant = _drop(same_items[asked], distances, rows, relevant, k)
        yield RankedChunk(start, distances, rows, relevant, total)


def _drop(
    own: npt.NDArray[np.int64],
    distances: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    relevant: npt.NDArray[np.bool_],
    k: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Move each query's own row behind the last item, and call it `PAD_ID`."""
    mine = (rows == own[:, None]) & (own[:, None] != PAD_ID)
    order = np.argsort(mine, axis=1, kind="stable")[:, :k]
    gone = np.take_along_axis(mine, order, axis=1)
    distances = np.take_along_axis(distances, order, axis=1)
    rows = np.where(gone, PAD_ID, np.take_along_axis(rows, order, axis=1))
    return distances, rows, np.take_along_axis(relevant, order, axis=1)
