"""Deep Attention-guided Hashing (arXiv 1812.01404): a reconstruction from abstract and survey.

Stream one: log-likelihood of the pairs and a difference loss with a margin (`losses.dsah`, on
tanh codes). Stream two: cross entropy against the codes of stream one, or of a teacher.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dsah_train.losses.dpsh import pair_likelihood
from dsah_train.losses.pairs import pair_sum

__all__ = ["guided_code_loss", "likelihood_loss"]


def likelihood_loss(u: Tensor, similar: Tensor) -> Tensor:
    """J_sem: sum over pairs of softplus(Theta) - S Theta, Theta = u_i . u_j / 2, divided by N."""
    return pair_sum(pair_likelihood(u, similar))


def guided_code_loss(z: Tensor, guide: Tensor, scale: float = 1.0, *, arity: int = 2) -> Tensor:
    """J_2: mean over pictures and bits of softplus(c z) - t c z, cross entropy with logits c z.

    Ordinal codes, which the paper does not have: the mean over pictures and segments of the cross
    entropy of softmax(c z_r) over the K values of segment r against the guide's symbol.

    Args:
        z: Activations (N, k), or (N, R K).
        guide: t, bits 0 and 1 of stream one or of a teacher (N, k), or its symbols (N, R).
        scale: c.
        arity: K; 2 for sign codes, which have one activation a bit.
    """
    if arity == 2:
        return F.binary_cross_entropy_with_logits(scale * z, guide.to(z.dtype))
    values = (scale * z).reshape(-1, arity)
    return F.cross_entropy(values, guide.reshape(-1).long())
