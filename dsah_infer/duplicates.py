"""Groups of near-identical codes in an index."""

from __future__ import annotations

import numpy as np

from dsah_infer.index import HammingIndex

__all__ = ["groups_within"]


def groups_within(index: HammingIndex, radius: int) -> list[list[int]]:
    """Ids of codes that a chain of distances up to ``radius`` links.

    Returns:
        Groups of two or more by their first id, ids ascending in each.

    Raises:
        UsageError: A negative radius.
    """
    parts = list(index.chunks())
    if not parts:
        return []
    codes, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Codes of training collapse: a thousand equal ones are half a million pairs, but one code.
    distinct, which = np.unique(codes, axis=0, return_inverse=True)
    first = np.full(len(distinct), np.iinfo(np.int64).max)
    np.minimum.at(first, which.reshape(-1), ids)
    one_each = HammingIndex(index.bits, symbol_bits=index.symbol_bits)
    one_each.add(distinct, first)
    leader = dict(zip(ids.tolist(), first[which.reshape(-1)].tolist(), strict=True))

    def find(id_: int) -> int:
        while leader[id_] != id_:
            leader[id_] = id_ = leader[leader[id_]]
        return id_

    for ones, others, _ in one_each.pairs_within(radius):
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            low, high = sorted((find(one), find(other)))
            leader[high] = low
    groups: dict[int, list[int]] = {}
    for id_ in sorted(leader):
        groups.setdefault(find(id_), []).append(id_)
    return [group for group in groups.values() if len(group) > 1]
