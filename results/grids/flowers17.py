"""DSaH at its full budget, beside the paper's figures, and with a plain hash layer.

All epochs of the defaults: choosing them takes as long again, and chose six or eight of eight for
the plain layer.
"""

from __future__ import annotations

from results.cells import Cell, Grid

__all__ = ["GRID", "PLAIN"]

GRID = Grid(
    "DSaH on Flower-17 with its defaults, all of their epochs",
    "data/flowers17.zip",
    60,
    tuple(
        Cell(
            "flowers17",
            f"dsah-{bits}-split{seed}",
            {"bits": bits, "split_seed": seed, "select": False},
        )
        for seed in (0, 1, 2)
        for bits in (24, 36, 48, 12)
    ),
)
PLAIN = Grid(
    "DSaH on Flower-17 with a plain hash layer at its rate, epochs chosen",
    "data/flowers17.zip",
    180,
    tuple(
        Cell(
            "flowers17-plain",
            f"dsah-{bits}-split{seed}",
            {"bits": bits, "split_seed": seed, "code_norm": False, "lr": 1e-3},
        )
        for seed in (0, 1, 2)
        for bits in (24, 36, 48, 12)
    ),
)
