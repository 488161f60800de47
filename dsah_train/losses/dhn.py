"""Deep Hashing Network (Zhu, Long, Wang and Cao, AAAI 2016)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dsah_train.losses.pairs import pair_mean

__all__ = ["log_cosh_gap", "pairwise_cross_entropy"]


def pairwise_cross_entropy(z: Tensor, similar: Tensor) -> Tensor:
    """Mean over pairs of log(1 + exp(z_i . z_j)) - S z_i . z_j (Eq. 5).

    Args:
        z: Relaxed codes (N, k) in (-1, 1).
        similar: S, (N, N) of 0 and 1.
    """
    inner = z @ z.T
    return pair_mean(F.softplus(inner) - similar * inner)


def log_cosh_gap(z: Tensor) -> Tensor:
    """Mean over all entries of log cosh(|z| - 1), a smooth || |z| - 1 ||_1 (Eq. 7)."""
    gap = z.abs() - 1
    # log cosh g = |g| + log(1 + exp(-2|g|)) - log 2: no overflow for large g.
    return (gap.abs() + F.softplus(-2 * gap.abs()) - 0.6931471805599453).mean()
