"""Nested codes: one model whose prefixes are good shorter codes (as Matryoshka representations,
Kusupati et al., NeurIPS 2022, are for floats). Losses are averaged over the prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsah_infer.contract import check_codes, pack_bits, unpack_bits
from dsah_infer.errors import UsageError
from dsah_train.losses.centres import class_centres

__all__ = ["Terms", "average_terms", "nested_centres", "truncate_codes"]

#: A loss by name with its parts, scalars; ``loss`` is what is minimised.
Terms = dict[str, Tensor]


def average_terms(lengths: Sequence[int], terms: Callable[[int], Terms]) -> Terms:
    """Mean over code lengths of each term of ``terms(length)``."""
    each = [terms(length) for length in lengths]
    return {name: torch.stack([t[name] for t in each]).mean() for name in each[0]}


def nested_centres(classes: int, lengths: Sequence[int], seed: int = 0) -> Tensor:
    """Class centres float32 (classes, lengths[-1]) of -1 and 1, well separated in every prefix.

    Each stretch between two lengths is chosen on its own: distances of prefixes add up.
    """
    stretches = zip((0, *lengths), lengths, strict=False)
    return torch.cat(
        [class_centres(classes, stop - start, seed + start) for start, stop in stretches], dim=1
    )


def truncate_codes(codes: npt.NDArray[np.uint8], bits: int, prefix: int) -> npt.NDArray[np.uint8]:
    """The first ``prefix`` stored bits of packed codes.

    Args:
        codes: uint8 (n, ceil(bits / 8)).
        bits: Stored bits of one code.
        prefix: Bits to keep, 1 to ``bits``; whole symbols, for ordinal codes.

    Returns:
        uint8 (n, ceil(prefix / 8)), zero padded.

    Raises:
        UsageError: ``prefix`` is out of range.
        CodeError: Codes of another width.
    """
    if not 1 <= prefix <= bits:
        raise UsageError(f"prefix = {prefix}, allowed: 1 to {bits}")
    return pack_bits(unpack_bits(check_codes(codes, bits), bits)[:, :prefix])
