"""Groups of near-identical codes in an index."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dsah_infer.index import HammingIndex
from dsah_infer.index_arguments import at_least
from dsah_infer.index_storage import by_rising_id

__all__ = ["groups_within"]

_AT_ONCE = 65536  # codes
_WORD = 8  # bytes


def groups_within(index: HammingIndex, radius: int) -> list[list[int]]:
    """Ids of codes that a chain of distances up to ``radius`` links.

    Codes and pairs stream by; kept is which code belongs to which: some 50 bytes per code at the
    peak, whatever its length, and the groups that are found. A ``radius`` above 0 takes an index of
    the distinct codes as well (`HammingIndex.stats` shows what one takes).

    Returns:
        Groups of two or more by their first id, ids ascending in each.

    Raises:
        UsageError: A negative radius.
    """
    at_least("radius", radius, 0)
    codes = _Codes(index)
    leader = codes.first_equals()
    if radius:
        distinct = np.flatnonzero(leader == np.arange(len(leader)))
        _link(leader, distinct, codes.index_of(distinct), radius)
    return _groups(leader, codes.ids())


class _Codes:
    """The codes of an index as of now, numbered by rising id, read chunk by chunk."""

    def __init__(self, index: HammingIndex) -> None:
        self._index, self._snapshot = index, index._core.snapshot()

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        return by_rising_id(self._index._core, self._snapshot, _AT_ONCE)

    def ids(self) -> npt.NDArray[np.int64]:
        """Rising, int64 (n,)."""
        return np.concatenate([np.empty(0, np.int64), *(ids for _, ids in self)])

    def first_equals(self) -> npt.NDArray[np.int64]:
        """Number of the first code that is equal to each, int64 (n,).

        One word after the other: codes that agree so far have one rank, and are told apart by the
        next word.
        """
        first = np.zeros(0, np.int64)
        for start in range(0, -(-self._index.bits // 8), _WORD):
            words = self._words(start)
            if start == 0:
                first = np.zeros(len(words), np.int64)
            order = np.lexsort((words, first))  # stable: the first of equals stays the first
            words = words[order]
            begins = np.ones(len(order), bool)
            begins[1:] = words[1:] != words[:-1]
            del words
            ranks = first[order]
            begins[1:] |= ranks[1:] != ranks[:-1]
            del ranks
            first[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        return first

    def _words(self, start: int) -> npt.NDArray[np.uint64]:
        """Bytes from ``start`` on of every code, as numbers, uint64 (n,)."""
        parts = [np.empty(0, np.uint64)]
        for codes, _ in self:
            padded = np.zeros((len(codes), _WORD), np.uint8)
            word = codes[:, start : start + _WORD]
            padded[:, : word.shape[1]] = word
            parts.append(padded.view(np.uint64)[:, 0])
        return np.concatenate(parts)

    def index_of(self, numbers: npt.NDArray[np.int64]) -> HammingIndex:
        """An index of some of the codes, given by rising numbers; its ids are places in these."""
        some = HammingIndex(self._index.bits, symbol_bits=self._index.symbol_bits)
        some.reserve(len(numbers))
        seen = 0
        for codes, _ in self:
            begin, end = np.searchsorted(numbers, (seen, seen + len(codes)))
            some.add(codes[numbers[begin:end] - seen])
            seen += len(codes)
        return some


def _link(
    leader: npt.NDArray[np.int64],
    distinct: npt.NDArray[np.int64],
    index: HammingIndex,
    radius: int,
) -> None:
    """Join the groups of near codes: each code's leader becomes the first of its whole group.

    Args:
        leader: Number of the first equal code, int64 (n,); changed.
        distinct: Numbers of the codes in ``index``, by its ids.
        index: One code of each group of equal ones.
        radius: Largest distance between near codes.
    """
    parent = leader.data  # gives numbers where an array would give objects

    def find(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for ones, others, _ in index.pairs_within(radius):
        for one, other in zip(distinct[ones].tolist(), distinct[others].tolist(), strict=True):
            low, high = sorted((find(one), find(other)))
            parent[high] = low
    while not np.array_equal(above := leader[leader], leader):
        leader[:] = above


def _groups(leader: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> list[list[int]]:
    """Ids of each leader's codes where there are two or more."""
    order = np.argsort(leader, kind="stable")
    begins = np.flatnonzero(np.diff(leader[order], prepend=-1))
    sizes = np.diff(begins, append=len(order))
    several = sizes > 1
    return [
        ids[order[begin : begin + size]].tolist()
        for begin, size in zip(begins[several].tolist(), sizes[several].tolist(), strict=True)
    ]
