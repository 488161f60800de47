"""The strongest rival with the defaults of DSaH's own full budget: 224 pixels, epochs chosen."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.rivals import METHODS

__all__ = ["GRID", "LABELS"]

#: Of the rivals that share DSaH's network it led at the small budget, where its best rate is the
#: default.
LABELS = ("csq",)

GRID = Grid(
    "the strongest rival on Flower-17 at the full budget",
    "data/flowers17.zip",
    16,
    tuple(
        Cell("rivals-full", f"{label}-{bits}", {**METHODS[label], "bits": bits})
        for bits in (48, 12)
        for label in LABELS
    ),
)
