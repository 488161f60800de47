"""The fixed pictures on which every export is checked, drawn from a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BATCHES", "fixed_pictures"]

#: A batch of one, an odd one, and one beyond any vector width: dynamic N is not only a label.
BATCHES = (1, 3, 17)


def fixed_pictures(size: int, count: int = sum(BATCHES)) -> npt.NDArray[np.uint8]:
    """Soft colour fields with sharp shapes and a little noise, and three flat pictures.

    Soft fields have the spectrum of photographs, shapes have edges, and flat pictures have no
    range for the min-max of the saliency map.

    Args:
        size: S, side in pixels.
        count: Number of pictures n.

    Returns:
        uint8 (n, S, S, 3), the same for equal arguments.
    """
    pictures = np.empty((count, size, size, 3), np.uint8)
    steps = np.arange(size) / size
    y, x = steps[:, None], steps[None, :]
    for i in range(count):
        rng = np.random.default_rng(i)
        field = np.zeros((size, size, 3))
        for octave in range(1, 6):
            turns = rng.uniform(-1, 1, (2, 3)) * 2**octave
            phase = rng.uniform(0, 2 * np.pi, 3)
            waves = np.sin(2 * np.pi * (y[..., None] * turns[0] + x[..., None] * turns[1]) + phase)
            field += waves / octave
        for _ in range(4):
            cy, cx, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.25)
            inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
            field[inside] = rng.uniform(-2, 2, 3)
        field += rng.normal(0, 0.1, field.shape)
        pictures[i] = np.clip(127.5 + 60 * field, 0, 255)
    for i, grey in zip(range(1, count), (0, 128, 255), strict=False):
        pictures[i] = grey
    return pictures
