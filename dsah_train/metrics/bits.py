"""How well codes use their bits: balance, correlation, entropy, distinct codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import check_codes, unpack_bits

__all__ = ["CodeHealth", "code_health"]


@dataclass(frozen=True)
class CodeHealth:
    """Statistics of a set of n codes.

    Attributes:
        codes: n.
        distinct: Number of different codes.
        code_entropy: Entropy of the distribution over distinct codes, in bits; at most log2 n.
        balance: Mean over bits of 2 min(p, 1 - p), p the share of ones: 1 is balanced, 0 is a
            constant bit.
        constant_bits: Bits that are the same in every code.
        correlation: Mean |Pearson correlation| over pairs of different, non-constant bits.
        bit_entropy: Mean over bits of the binary entropy of p, in bits (0 to 1).
        ones: Share of ones of each bit that carries information.
    """

    codes: int
    distinct: int
    code_entropy: float
    balance: float
    constant_bits: int
    correlation: float
    bit_entropy: float
    ones: tuple[float, ...]


def code_health(
    codes: npt.NDArray[np.uint8], bits: int, *, symbol_bits: int = 1, arity: int | None = None
) -> CodeHealth:
    """Balance, correlation, entropy and distinct codes of packed codes.

    Args:
        codes: Packed codes, uint8 (n, ceil(bits / 8)), n >= 1. Ordinal codes are judged by
            their stored bits, without those that no symbol of their arity sets.
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        arity: Values of one symbol; None takes 2**symbol_bits. Eight take 4 bits of which the
            first is always 0.

    Returns:
        The statistics of `CodeHealth`.

    Raises:
        CodeError: Codes of the wrong dtype or width.
    """
    codes = check_codes(codes, bits)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    unused = symbol_bits - ((arity or 1 << symbol_bits) - 1).bit_length()
    used = np.arange(bits) % symbol_bits >= unused
    values = unpack_bits(codes, bits)[:, used].astype(np.float64)
    ones = values.mean(axis=0)
    varying = (ones > 0) & (ones < 1)
    correlation = 0.0
    if varying.sum() > 1:
        matrix = np.atleast_2d(np.corrcoef(values[:, varying], rowvar=False))
        correlation = float(np.abs(matrix[np.triu_indices_from(matrix, k=1)]).mean())
    return CodeHealth(
        codes=len(codes),
        distinct=len(counts),
        code_entropy=_entropy(counts / counts.sum()),
        balance=float(2 * np.minimum(ones, 1 - ones).mean()),
        constant_bits=int((~varying).sum()),
        correlation=correlation,
        bit_entropy=float(np.mean([_entropy(np.array([p, 1 - p])) for p in ones])),
        ones=tuple(float(p) for p in ones),
    )


def _entropy(probabilities: npt.NDArray[np.float64]) -> float:
    p = probabilities[probabilities > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0  # + 0.0: a sure thing is 0, not -0
