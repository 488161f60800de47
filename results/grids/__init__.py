"""Every grid of measurements by name, in the order in which `make results` fills them."""

from __future__ import annotations

from results.cells import Grid
from results.grids import (
    ablations,
    cifar10,
    flowers17,
    frozen,
    full,
    gpu,
    marks,
    nested,
    rivals,
    student,
    unseen,
)

__all__ = ["GRIDS"]

GRIDS: dict[str, Grid] = {
    "frozen": frozen.GRID,
    "frozen128": frozen.SMALL_PICTURES,
    "rivals": rivals.GRID,
    **marks.GRIDS,
    "unseen": unseen.GRID,
    "student": student.GRID,
    "nested": nested.GRID,
    "ablations": ablations.GRID,
    "rivals-passes": rivals.PASSES,
    "cifar10": cifar10.GRID,
    "flowers17": flowers17.GRID,
    "flowers17-plain": flowers17.PLAIN,
    "rivals-full": full.GRID,
    **gpu.GRIDS,
}
