"""One nested model of 48 bits, beside models trained at each length (those of `rivals`)."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.budget import SMALL

__all__ = ["GRID"]

GRID = Grid(
    "prefixes of one nested model beside a model for each length",
    "data/flowers17.zip",
    10,
    (
        Cell("nested", "dsah-nested", {"bits": 48, **SMALL, "nested": "12,24,48"}),
        Cell("nested", "dsah-24", {"bits": 24, **SMALL}),
    ),
)
