"""How many pairs of labelled codes lie at each distance, without a list of the pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["pair_counts"]

Counts = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# A tile of this many pairs stays in the cache, and takes milliseconds whatever the codes' length.
_ROWS, _COLUMNS = 128, 1024
#: For symbols of 2, 4 and 8 bits: how far to fold differing bits onto the lowest of their symbol.
_FOLDS = {1: (), 2: (1,), 4: (1, 2), 8: (1, 2, 4)}
_LOWEST = {
    2: np.uint64(0x5555555555555555),
    4: np.uint64(0x1111111111111111),
    8: np.uint64(0x0101010101010101),
}


def pair_counts(
    codes: npt.NDArray[np.uint8], classes: npt.NDArray[np.integer], bits: int, symbol_bits: int
) -> tuple[Counts, Counts]:
    """Count unordered pairs by distance, tile by tile; Ctrl-C is heard between tiles.

    Args:
        codes: Packed codes uint8 (n, bytes).
        classes: Class of each code, integers (n,).
        bits: Bits of one code, a multiple of ``symbol_bits``.
        symbol_bits: 1, 2, 4 or 8.

    Returns:
        Numbers of pairs of one class and of pairs of two classes, each int64 (segments + 1,).
    """
    words = _words(codes)
    largest = bits // symbol_bits
    twice = np.zeros((largest + 1, 2), np.int64)  # every pair two times, and each code with itself
    for rows in _slices(0, len(codes), _ROWS):
        twice += _tile(words, classes, rows, rows, largest, symbol_bits)
        for columns in _slices(rows.stop, len(codes), _COLUMNS):
            twice += 2 * _tile(words, classes, rows, columns, largest, symbol_bits)
    twice[0, 1] -= len(codes)
    different, same = (twice // 2).T.copy()
    return same, different


def _words(codes: npt.NDArray[np.uint8]) -> Words:
    """The codes, zero padded, as word after word of all of them, uint64 (words, n)."""
    padded = np.zeros((len(codes), -(-codes.shape[1] // 8) * 8), np.uint8)
    padded[:, : codes.shape[1]] = codes
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _slices(begin: int, end: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, end)) for at in range(begin, end, step))


def _tile(
    words: Words,
    classes: npt.NDArray[np.integer],
    rows: slice,
    columns: slice,
    largest: int,
    symbol_bits: int,
) -> Counts:
    """Pairs (row, column) at each distance, of two classes and of one, int64 (segments + 1, 2)."""
    distance = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint16)
    for word in words:
        differ = word[rows, None] ^ word[columns]
        for shift in _FOLDS[symbol_bits]:
            differ |= differ >> np.uint64(shift)
        if symbol_bits > 1:
            differ &= _LOWEST[symbol_bits]
        distance += np.bitwise_count(differ)
    places = 2 * distance + (classes[rows, None] == classes[columns])  # at most 8193
    return np.bincount(places.ravel(), minlength=2 * largest + 2).reshape(-1, 2)
