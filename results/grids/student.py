"""Students with one pass through a trunk, searched in the galleries of costlier teachers."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.budget import SMALL

__all__ = ["GRID", "TEACHERS"]

#: Cell to what it is.
TEACHERS = {
    "rivals/dsah-48": "DSaH: two networks, 128 pixels",
    "rivals/doh-48": "DOH: two branches, 4-ary symbols, 128 pixels",
}


def _student(name: str, teacher: str, size: int) -> Cell:
    settings = {"method": "dagh", "bits": 48, **SMALL, "image_size": size, "train_size": size}
    return Cell("student", name, settings, f"one trunk, {size} pixels", teacher)


GRID = Grid(
    "students in the code spaces of DSaH and DOH",
    "data/flowers17.zip",
    15,
    (
        _student("dagh-48-128px", "rivals/dsah-48", 128),
        _student("dagh-48-96px", "rivals/dsah-48", 96),
        _student("doh-48-128px", "rivals/doh-48", 128),
    ),
)
