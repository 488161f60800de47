"""Deep Pairwise-Supervised Hashing (Li, Wang and Kang, IJCAI 2016, arXiv 1511.03855)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dsah_train.losses.pairs import pair_mean

__all__ = ["code_gap", "pair_likelihood", "pairwise_likelihood_loss"]


def pair_likelihood(u: Tensor, similar: Tensor) -> Tensor:
    """Negative log-likelihood of each pair: softplus(Theta) - S Theta, Theta = u_i . u_j / 2.

    Args:
        u: Relaxed codes (N, k).
        similar: S, (N, N) of 0 and 1.

    Returns:
        (N, N), positive; log 2 where Theta is 0.
    """
    theta = u @ u.T / 2
    return F.softplus(theta) - similar * theta


def pairwise_likelihood_loss(u: Tensor, similar: Tensor) -> Tensor:
    """First term of Eq. 4, as a mean over unordered pairs."""
    return pair_mean(pair_likelihood(u, similar))


def code_gap(u: Tensor) -> Tensor:
    """Second term of Eq. 4, ||b_i - u_i||^2 with b = sign(u), as a mean over all entries."""
    sign = (u.detach() >= 0).to(u.dtype) * 2 - 1
    return (u - sign).square().mean()
