"""Central Similarity Quantization (Yuan et al., CVPR 2020, arXiv 1908.00347)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["central_similarity_loss", "picture_centres"]


def picture_centres(targets: Tensor, centres: Tensor) -> Tensor:
    """Each picture's centre: its class's, or the majority bit of its classes' (section 3.2).

    Args:
        targets: Multi-hot (N, C).
        centres: (C, k) of -1 and 1.

    Returns:
        (N, k) of -1 and 1; a draw of the majority counts as 1 (the paper draws it by lot).
    """
    return torch.where(targets.to(centres.dtype) @ centres >= 0, 1.0, -1.0).to(centres)


def central_similarity_loss(u: Tensor, centre: Tensor) -> Tensor:
    """Binary cross entropy between h = (tanh(u) + 1) / 2 and (centre + 1) / 2, mean (Eq. 5).

    Args:
        u: Activations (N, k) before the tanh; (tanh(u) + 1) / 2 is sigmoid(2u).
        centre: (N, k) of -1 and 1.
    """
    return F.binary_cross_entropy_with_logits(2 * u, (centre + 1) / 2)
