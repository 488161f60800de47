"""Deep Saliency Hashing (arXiv 1807.01459), equations 6 to 18."""

from __future__ import annotations

from torch import Tensor

from dsah_train.losses.pairs import pair_sum

__all__ = ["pair_distance", "quantization_loss", "saliency_loss", "semantic_loss"]


def pair_distance(mu: Tensor, similar: Tensor) -> Tensor:
    """d_ij = |S_ij - e_ij| with e_ij = (mu_i . mu_j + k) / 2k (Eq. 9).

    Args:
        mu: Activations (N, k), unbounded.
        similar: S, (N, N) of 0 and 1.

    Returns:
        (N, N); in [0, 1] while |mu| <= 1, and for mu in {-1, 1} e is 1 - Hamming / k.
    """
    k = mu.shape[1]
    e = (mu @ mu.T + k) / (2 * k)
    return (similar - e).abs()


def semantic_loss(distance: Tensor, power: int = 1) -> Tensor:
    """J_sem: sum over pairs of d_ij, or of its square (Eq. 6-7; D2)."""
    return pair_sum(distance if power == 1 else distance.square())


def saliency_loss(distance: Tensor, distance_sal: Tensor, margin: float) -> Tensor:
    """J_sal: sum over pairs of max(m - d_ij + d'_ij, 0) (Eq. 10).

    It is zero once the saliency images are better placed than the originals by the margin.
    """
    return pair_sum((margin - distance + distance_sal).clamp_min(0))


def quantization_loss(mu: Tensor) -> Tensor:
    """J_reg: sum over pictures of ||mu_i - sign(mu_i)||_1, divided by N (Eq. 11-12).

    sign(0) is +1, and the sign is a constant in the gradient: its closed-form minimiser (D4, D5).
    """
    sign = (mu.detach() >= 0).to(mu.dtype) * 2 - 1
    return (mu - sign).abs().sum() / len(mu)
