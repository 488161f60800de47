"""Does attention look at the thing? Two figures where masks of the thing exist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import UsageError

__all__ = ["SaliencyScore", "mass_inside", "pointing_hits", "score_saliency"]


@dataclass(frozen=True)
class SaliencyScore:
    """Saliency against masks, averaged over pictures.

    Attributes:
        pictures: Number of pictures.
        pointing: Pointing-game accuracy: share of pictures whose saliency maximum is on the mask.
        mass: Mean share of the saliency mass inside the mask.
        area: Mean share of the picture that the mask covers: what chance scores in both.
    """

    pictures: int
    pointing: float
    mass: float
    area: float


def _check(saliency: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> None:
    if saliency.ndim != 3 or saliency.shape != mask.shape or not len(saliency):
        raise UsageError(
            f"saliency {saliency.shape} and masks {mask.shape}: expected equal shapes (n, S, S) "
            "with n >= 1"
        )
    if mask.dtype != np.bool_ or not mask.any(axis=(1, 2)).all():
        raise UsageError(f"masks must be bool ({mask.dtype} given) with at least one pixel set")
    if not np.isfinite(saliency).all() or saliency.min() < 0:
        raise UsageError("saliency must be finite and not negative")


def pointing_hits(
    saliency: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Whether the saliency maximum lies on the mask (the pointing game, without a margin).

    Among equal maxima the first in row-major order counts.

    Args:
        saliency: float (n, S, S), not negative.
        mask: bool (n, S, S), at least one pixel set in each.

    Returns:
        bool (n,).

    Raises:
        UsageError: Shapes differ, a mask is empty, or saliency is negative or not finite.
    """
    _check(saliency, mask)
    top = saliency.reshape(len(saliency), -1).argmax(axis=1)
    hits: npt.NDArray[np.bool_] = mask.reshape(len(mask), -1)[np.arange(len(mask)), top]
    return hits


def mass_inside(
    saliency: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Share of each picture's saliency mass inside its mask.

    Args:
        saliency: float (n, S, S), not negative.
        mask: bool (n, S, S), at least one pixel set in each.

    Returns:
        float64 (n,) in [0, 1]; 0 where saliency is zero everywhere.

    Raises:
        UsageError: Shapes differ, a mask is empty, or saliency is negative or not finite.
    """
    _check(saliency, mask)
    inside = np.where(mask, saliency, 0).sum(axis=(1, 2), dtype=np.float64)
    whole = saliency.sum(axis=(1, 2), dtype=np.float64)
    shares: npt.NDArray[np.float64] = np.zeros_like(whole)
    np.divide(inside, whole, out=shares, where=whole > 0)
    return shares


def score_saliency(saliency: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> SaliencyScore:
    """Pointing-game accuracy and mass share over a set of pictures; arguments as above."""
    return SaliencyScore(
        pictures=len(saliency),
        pointing=float(pointing_hits(saliency, mask).mean()),
        mass=float(mass_inside(saliency, mask).mean()),
        area=float(mask.mean()),
    )
