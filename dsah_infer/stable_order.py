"""Sorting of millions of numbers in steps, between which Ctrl-C is heard."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["stable_order", "steps"]

_AT_ONCE = 1 << 18  # some 10 ms
_DIGIT = 16  # bits
_VALUES = 1 << _DIGIT


def steps(count: int, size: int = _AT_ONCE) -> Iterator[slice]:
    """Slices of up to ``size`` places that cover the first ``count``."""
    return (slice(at, min(at + size, count)) for at in range(0, count, size))


def stable_order(*keys: npt.NDArray[np.uint64 | np.int64]) -> npt.NDArray[np.int64]:
    """As `numpy.lexsort`: the order by the last key, equals by the key before it, then by place.

    Digit by digit from the lowest one, each by counting: the time is linear, and whatever the
    numbers no step is longer than another. Beside the keys it takes two orders.

    Args:
        keys: Numbers of at least 0, each (n,).
    """
    order = np.arange(len(keys[0]), dtype=np.int64)
    spare = np.empty_like(order)
    for key in keys:
        highest = int(key.max(initial=0))
        for shift in range(0, highest.bit_length(), _DIGIT):
            if _sort_by_digit(key, shift, order, spare):
                order, spare = spare, order
    return order


def _sort_by_digit(
    key: npt.NDArray[np.uint64 | np.int64],
    shift: int,
    order: npt.NDArray[np.int64],
    result: npt.NDArray[np.int64],
) -> bool:
    """Write ``order``, sorted by one digit of the key, to ``result``; False if it is sorted."""
    counts = np.zeros(_VALUES, np.int64)
    for part in steps(len(key)):
        counts += np.bincount(_digit(key[part], shift), minlength=_VALUES)
    if counts.max() == len(key):
        return False
    place = np.cumsum(counts) - counts  # of the next element with each value
    for part in steps(len(order)):
        numbers = order[part]
        digits = _digit(key[numbers], shift)
        within = np.argsort(digits, kind="stable")  # of 16 bits: by counting, too
        counts = np.bincount(digits, minlength=_VALUES)
        ahead = np.cumsum(counts) - counts  # in this step
        result[(place - ahead)[digits[within]] + np.arange(len(numbers))] = numbers[within]
        place += counts
    return True


def _digit(key: npt.NDArray[np.uint64 | np.int64], shift: int) -> npt.NDArray[np.uint16]:
    return (key >> key.dtype.type(shift)).astype(np.uint16)  # the conversion drops what is above
