"""Deep Ordinal Hashing (arXiv 1805.02459), a reconstruction: the paper's equations were not at
hand. The relaxation is that of Linear Subspace Ranking Hashing (TPAMI 2017), its ancestor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsah_train.losses.pairs import pair_mean

__all__ = ["class_loss", "difference_loss", "lsrh_loss", "match", "ordinal", "winners"]


def ordinal(h: Tensor, arity: int, beta: float = 1.0) -> Tensor:
    """P_i^r = softmax(beta h_i^r) per segment: activations (N, R K) to (N, R, K)."""
    return (beta * h.view(len(h), -1, arity)).softmax(-1)


def winners(h: Tensor, arity: int) -> Tensor:
    """One-hot codes b (N, R, K) of the largest entry per segment; no gradient."""
    segments = h.detach().view(len(h), -1, arity)
    return F.one_hot(segments.argmax(-1), arity).to(h.dtype)


def match(p: Tensor, q: Tensor) -> Tensor:
    """s_ij = (1/R) sum_r P_i^r . Q_j^r in [0, 1]: the expected share of equal symbols.

    Args:
        p: (N, R, K).
        q: (M, R, K).

    Returns:
        (N, M).
    """
    return p.flatten(1) @ q.flatten(1).T / p.shape[1]


def difference_loss(matches: Tensor, similar: Tensor) -> Tensor:
    """L_sim: mean over pairs i < j of (S_ij - s_ij)^2; both orders where s is not symmetric."""
    gap = (similar - matches).square()
    return (pair_mean(gap) + pair_mean(gap.T)) / 2


def lsrh_loss(matches: Tensor, similar: Tensor, dissimilar_weight: float = 1.0) -> Tensor:
    """LSRH's loss with equal pair weights, lambda = ``dissimilar_weight``.

    (sum_{S=1} (1 - s_ij) + lambda sum_{S=0} s_ij) / (#similar + lambda #dissimilar), over i != j.
    """
    off = ~torch.eye(len(matches), dtype=torch.bool, device=matches.device)
    s, value = similar[off], matches[off]
    weight = s + dissimilar_weight * (1 - s)
    return (s * (1 - value) + dissimilar_weight * (1 - s) * value).sum() / weight.sum()


def class_loss(logits: Tensor, targets: Tensor, *, multi_label: bool) -> Tensor:
    """Cross entropy of a class layer; binary per class where pictures carry several labels."""
    hot = targets.to(logits.dtype)
    if multi_label:
        return F.binary_cross_entropy_with_logits(logits, hot)
    return F.cross_entropy(logits, hot)
