"""Classes that were not trained on: 12 of the 17 flowers are trained, all are searched."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.budget import SMALL
from results.grids.rivals import METHODS, learning_rate

__all__ = ["GRID"]

GRID = Grid(
    "queries of 5 flowers that were not trained on",
    "data/flowers17.zip",
    20,
    tuple(
        Cell(
            "unseen",
            f"{label}-48",
            {
                **METHODS[label],
                "bits": 48,
                **SMALL,
                **learning_rate(label),
                "protocol": "open-set",
            },
        )
        for label in ("dsah", "dsah-paper", "dpsh", "orthohash")
    ),
)
