"""Groups of near-identical codes in an index."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from dsah_infer.index import HammingIndex
from dsah_infer.index_arguments import at_least
from dsah_infer.index_storage import by_rising_id
from dsah_infer.stable_order import stable_order, steps

__all__ = ["groups_within"]

_AT_ONCE = 65536  # codes
_WORD = 8  # bytes


def groups_within(index: HammingIndex, radius: int) -> list[list[int]]:
    """Ids of codes that a chain of distances up to ``radius`` links.

    Codes and pairs stream by; kept is which code belongs to which: some 50 bytes per code at the
    peak, whatever its length, and the groups that are found. A ``radius`` above 0 takes an index of
    the distinct codes as well (`HammingIndex.stats` shows what one takes). Ctrl-C stops it within
    0.2 s.

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

        One word after the other: codes that agree so far have one first, and are told apart by
        the next word.
        """
        first = _first_of_equals(self._words(0))
        for start in range(_WORD, -(-self._index.bits // 8), _WORD):
            first = _first_of_equals(self._words(start), first)
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


def _first_of_equals(*keys: npt.NDArray[np.uint64 | np.int64]) -> npt.NDArray[np.int64]:
    """First place where all keys are as they are at each place, int64 (n,)."""
    order = stable_order(*keys)
    first = np.empty_like(order)
    latest = -1
    for part in steps(len(order)):
        places = order[part]
        begins = np.zeros(len(places), bool)
        begins[0] = latest < 0 or any(key[latest] != key[places[0]] for key in keys)
        for key in keys:
            values = key[places]
            begins[1:] |= values[1:] != values[:-1]
        firsts = np.concatenate([[latest], places[begins]])[np.cumsum(begins)]
        first[places] = firsts
        latest = int(firsts[-1])
    return first


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
        for part in steps(len(ones), _AT_ONCE):
            pairs = zip(distinct[ones[part]].tolist(), distinct[others[part]].tolist(), strict=True)
            for one, other in pairs:
                low, high = sorted((find(one), find(other)))
                parent[high] = low
    moved = True
    while moved:
        moved = False
        for part in steps(len(leader)):
            above = leader[leader[part]]
            moved |= not np.array_equal(above, leader[part])
            leader[part] = above


def _groups(leader: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]) -> list[list[int]]:
    """Ids of each leader's codes where there are two or more."""
    sizes = np.bincount(leader, minlength=len(leader))
    grouped = np.concatenate(
        [
            np.empty(0, np.int64),
            *(part.start + np.flatnonzero(sizes[leader[part]] > 1) for part in steps(len(leader))),
        ]
    )
    ends = np.cumsum(sizes[sizes > 1])
    del sizes
    order = stable_order(leader[grouped])
    members: list[int] = []
    for part in steps(len(order)):
        members += ids[grouped[order[part]]].tolist()
    groups, begin = [], 0
    with _collector_paused():
        for part in steps(len(ends)):
            for end in ends[part].tolist():
                groups.append(members[begin:end])
                begin = end
    return groups


@contextmanager
def _collector_paused() -> Iterator[None]:
    """For many lists of numbers, which form no cycles.

    The collector would go through all of them again and again, each time longer deaf to Ctrl-C.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
