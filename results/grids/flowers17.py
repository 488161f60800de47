"""DSaH with its defaults at full budget, beside the paper's figures."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.rivals import NORMALISED

__all__ = ["GRID", "NORMALISED_GRID"]

GRID = Grid(
    "DSaH with its defaults on Flower-17",
    "data/flowers17.zip",
    360,
    tuple(
        Cell("flowers17", f"dsah-{bits}-split{seed}", {"bits": bits, "split_seed": seed})
        for seed in (0, 1, 2)
        for bits in (24, 36, 48, 12)
    ),
)
#: All of their epochs: choosing them takes as long again, and chose six or eight of the eight.
NORMALISED_GRID = Grid(
    "DSaH with a normalised hash layer on Flower-17",
    "data/flowers17.zip",
    40,
    tuple(
        Cell(
            "flowers17-norm",
            f"dsah-{bits}-split{seed}",
            {**NORMALISED, "bits": bits, "split_seed": seed, "select": False},
        )
        for seed in (0, 1, 2)
        for bits in (48, 12)
    ),
)
