"""Every method and rival as a head on frozen features, four lengths, five seeds: minutes in all."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.rivals import METHODS

__all__ = ["GRID"]

_HEADS = {label: settings for label, settings in METHODS.items() if label != "dsah-paper"}
# Without attention the two steps are one: only the losses of DSaH's paper preset are left.
_HEADS["dsah-paper"] = {"method": "dsah", "pair_power": 1, "centres": 0.0}

GRID = Grid(
    "heads on frozen features of Flower-17",
    "data/flowers17.zip",
    25,
    (
        *(Cell("frozen", label, settings) for label, settings in _HEADS.items()),
        Cell("frozen", "float", note="cosine of the features themselves: no codes"),
    ),
    frozen=True,
)
