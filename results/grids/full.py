"""The strongest rivals with the defaults of DSaH's own full budget: 224 pixels, all epochs."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.rivals import ENTRIES, learning_rate

__all__ = ["GRID", "LABELS"]

#: Best of all at the small budget.
LABELS = ("orthohash", "csq-norm", "csq", "doh")

GRID = Grid(
    "the strongest rivals on Flower-17 at the full budget",
    "data/flowers17.zip",
    40,
    tuple(
        Cell(
            "rivals-full",
            f"{label}-{bits}",
            {**ENTRIES[label], "bits": bits, **learning_rate(label), "select": False},
        )
        for bits in (48, 12)
        for label in LABELS
    ),
)
