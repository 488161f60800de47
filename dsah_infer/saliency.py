"""Pictures of saliency: a heat map laid over the square that the model saw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["overlay"]

#: Dark violet, red, orange, pale yellow: brightness rises steadily, so it also reads in grey.
_STOPS = np.array([[20, 11, 54], [101, 21, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]])
_STRENGTH = 0.7
_DIM = 0.35


def overlay(
    square: npt.NDArray[np.uint8], saliency: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Colour a picture by its saliency.

    Args:
        square: uint8 RGB (S, S, 3).
        saliency: (S, S) in [0, 1].

    Returns:
        uint8 RGB (S, S, 3): dimmed and grey where nothing is salient, glowing where much is.
    """
    heat = np.clip(saliency.astype(np.float64), 0, 1)
    at = np.linspace(0, 1, len(_STOPS))
    colour = np.stack([np.interp(heat, at, _STOPS[:, channel]) for channel in range(3)], axis=-1)
    weight = _STRENGTH * heat[..., None]
    base = square * (1 - _DIM * (1 - heat[..., None]))
    return np.round(base * (1 - weight) + colour * weight).astype(np.uint8)
