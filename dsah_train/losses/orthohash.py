"""One Loss for All: OrthoHash (Hoe et al., NeurIPS 2021, arXiv 2109.14449)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["cosine_margin_loss"]


def cosine_margin_loss(
    u: Tensor, targets: Tensor, centres: Tensor, scale: float, margin: float
) -> Tensor:
    """Cross entropy of softmax(s (cos(u, centre) - m [own class])) (Eq. 8).

    The codes' quantisation needs no term of its own: the cosine to a binary centre is largest at
    the centre. Bits are balanced by batch normalisation in the hash layer (`NormalisedLinear`).

    Args:
        u: Activations (N, k).
        targets: Multi-hot (N, C); several classes share the probability equally.
        centres: (C, k) of -1 and 1.
        scale: s.
        margin: m, taken off the cosine to the picture's own classes.
    """
    hot = targets.to(u.dtype)
    cosine = F.normalize(u, dim=1) @ (centres / centres.shape[1] ** 0.5).T
    wanted = hot / hot.sum(1, keepdim=True).clamp_min(1)
    return F.cross_entropy(scale * (cosine - margin * hot), wanted)
