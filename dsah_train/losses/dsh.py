"""Deep Supervised Hashing (Liu, Wang, Shan and Chen, CVPR 2016)."""

from __future__ import annotations

from torch import Tensor

from dsah_train.losses.pairs import pair_mean

__all__ = ["contrastive_loss", "unit_gap"]


def contrastive_loss(u: Tensor, similar: Tensor, margin: float) -> Tensor:
    """Mean over pairs of S d/2 + (1 - S) max(m - d, 0)/2 with d = ||u_i - u_j||^2 (Eq. 4).

    Args:
        u: Relaxed codes (N, k).
        similar: S, (N, N) of 0 and 1.
        margin: m; the paper's is 2k, half of the largest squared distance between two codes.
    """
    square = u.square().sum(1)
    distance = square[:, None] + square[None, :] - 2 * u @ u.T
    apart = (margin - distance).clamp_min(0)
    return pair_mean((similar * distance + (1 - similar) * apart) / 2)


def unit_gap(u: Tensor) -> Tensor:
    """The regulariser of Eq. 4: || |u| - 1 ||_1 of both pictures of a pair, mean over pairs."""
    return 2 * (u.abs() - 1).abs().sum(1).mean()
