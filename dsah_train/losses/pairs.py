"""Pairs inside a batch: which are similar, and sums over them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pair_mean", "pair_sum", "similarity", "upper"]


def similarity(targets: Tensor) -> Tensor:
    """S_ij = 1 where two pictures share a class (DSaH Eq. 5, methods note D18).

    Args:
        targets: Multi-hot (N, C).

    Returns:
        Float32 (N, N) of 0 and 1.
    """
    hot = targets.float()
    return ((hot @ hot.T) > 0).float()


def pair_sum(values: Tensor) -> Tensor:
    """Sum over unordered pairs i < j of a symmetric (N, N), divided by N (methods note D14).

    Dividing pair and image terms by the same N keeps the paper's ratio between them and does not
    change with the size of a short last batch.
    """
    return upper(values).sum() / len(values)


def pair_mean(values: Tensor) -> Tensor:
    """Mean over unordered pairs i < j of a symmetric (N, N), N at least 2."""
    return upper(values).mean()


def upper(values: Tensor) -> Tensor:
    """Entries i < j of an (N, N), row by row.

    By their places and not by a mask: of a mask CUDA must tell the host how many it holds, and the
    host would wait for that in every step.
    """
    n = len(values)
    rows, columns = torch.triu_indices(n, n, offset=1, device=values.device)
    return values[rows, columns]
