"""DSaH with its defaults at full budget, beside the paper's figures."""

from __future__ import annotations

from results.cells import Cell, Grid

__all__ = ["GRID"]

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
