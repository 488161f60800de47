"""A student with one pass through a trunk, searched in the gallery of its two-network teacher."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.budget import SMALL

__all__ = ["GRID"]

_TEACHER = "rivals/dsah-48"

GRID = Grid(
    "students in the code space of DSaH",
    "data/flowers17.zip",
    10,
    tuple(
        Cell(
            "student",
            f"dagh-48-{size}px",
            {"method": "dagh", "bits": 48, **SMALL, "image_size": size, "train_size": size},
            f"one trunk, {size} pixels",
            _TEACHER,
        )
        for size in (128, 96)
    ),
)
