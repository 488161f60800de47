"""The codes that are searched: uniform ones, and ones that gather as learned codes do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ONE_BY_ONE", "SEED", "Codes", "learned_codes", "random_codes"]

Codes = npt.NDArray[np.uint8]
SEED = 20240601
CENTRES = 1000
ONE_BY_ONE = 128  # distinct queries where each is a call of its own


def random_codes(n: int, bits: int, seed: int = SEED) -> Codes:
    """Uniform packed codes (n, ceil(bits / 8)); 12 bits take 2 bytes, padded."""
    codes = np.random.default_rng(seed).integers(0, 256, (n, (bits + 7) // 8), dtype=np.uint8)
    if bits % 8:
        codes[:, -1] &= 0xFF << (8 - bits % 8) & 0xFF
    return codes


def learned_codes(n: int, bits: int, flip: float, seed: int = SEED) -> Codes:
    """1000 random centres; each code is a centre with every bit flipped with probability flip."""
    centres = np.random.default_rng(SEED + 1).integers(0, 256, (CENTRES, bits // 8), np.uint8)
    rng = np.random.default_rng(seed)
    codes = centres[rng.integers(0, CENTRES, n)]
    for start in range(0, n, 1 << 20):
        part = codes[start : start + (1 << 20)]
        part ^= np.packbits(rng.random((len(part), bits), dtype=np.float32) < flip, axis=1)
    return codes
