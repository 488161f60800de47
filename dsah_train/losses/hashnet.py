"""HashNet (Cao, Long, Wang and Yu, ICCV 2017, arXiv 1702.00758)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsah_train.losses.pairs import upper

__all__ = ["BETA_LAST", "weighted_likelihood_loss"]

#: The last beta of the continuation sgn(z) = lim tanh(beta z); the first is 1 (section 3.3).
BETA_LAST = 10.0


def weighted_likelihood_loss(z: Tensor, similar: Tensor, alpha: float) -> Tensor:
    """Weighted maximum likelihood over pairs (Eq. 4).

    Similar pairs are weighted by |S| / |S1| and dissimilar ones by |S| / |S0|, so that both kinds
    count alike however many there are; the counts are those of the batch.

    Args:
        z: Relaxed codes (N, k) in (-1, 1).
        similar: S, (N, N) of 0 and 1.
        alpha: Slope of the sigmoid; the authors use 10 / k.

    Returns:
        Mean over unordered pairs.
    """
    s, inner = upper(similar), alpha * upper(z @ z.T)
    ones = s.sum()
    weight = len(s) / torch.where(s > 0, ones, len(s) - ones)
    return (weight * (F.softplus(inner) - s * inner)).mean()
