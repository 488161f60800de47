"""A class-centre term: every class owns a binary code, and pictures are drawn to theirs.

The proxies are fixed and binary as in OrthoHash (Hoe et al., NeurIPS 2021): a softmax over the
cosine between activations and class centres. Codes of a class then agree on one code, which pair
losses alone reach late or, at 12 bits with many classes, never.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["centre_loss", "class_centres"]


def class_centres(classes: int, bits: int, seed: int = 0) -> Tensor:
    """Well separated codes, one per class: float32 (classes, bits) of -1 and 1.

    Seeded greedy choice: each next centre is the best of 2,000 random candidates by its least
    distance to the centres so far (complements count as distance ``bits``), then by its spread.
    """
    rng = np.random.default_rng(seed)
    chosen = np.empty((classes, bits), np.float32)
    for row in range(classes):
        candidates = rng.integers(0, 2, (2000, bits)).astype(np.float32) * 2 - 1
        if row == 0:
            chosen[0] = candidates[0]
            continue
        distance = (bits - candidates @ chosen[:row].T) / 2
        # Least distance first; among equals the one that is nearest to few.
        crowd = np.exp(-4.0 * (distance - distance.min(1, keepdims=True)) / bits).sum(1)
        chosen[row] = candidates[np.lexsort((crowd, -distance.min(1)))[0]]
    return torch.from_numpy(chosen)


def centre_loss(mu: Tensor, targets: Tensor, centres: Tensor, scale: float) -> Tensor:
    """Cross entropy of softmax(scale * cos(mu, centre)), averaged over the batch.

    Args:
        mu: Activations (N, k).
        targets: Multi-hot (N, C); several classes share the probability equally.
        centres: (C, k) of -1 and 1.
        scale: Inverse temperature.
    """
    cosine = F.normalize(mu, dim=1) @ (centres / centres.shape[1] ** 0.5).T
    wanted = targets.float() / targets.float().sum(1, keepdim=True).clamp_min(1)
    return F.cross_entropy(scale * cosine, wanted)
