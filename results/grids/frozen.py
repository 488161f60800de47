"""Every method and rival as a head on frozen features: minutes in all."""

from __future__ import annotations

from results.cells import Cell, Grid, Heads
from results.grids.rivals import METHODS

__all__ = ["GRID", "SMALL_PICTURES"]

_HEADS = {label: settings for label, settings in METHODS.items() if label != "dsah-paper"}
# Without attention the two steps are one: only the losses of DSaH's paper preset are left, and the
# batch at which its pair terms have the paper's weight beside J_reg (D14).
_HEADS["dsah-paper"] = {
    "method": "dsah",
    "pair_power": 1,
    "centres": 0.0,
    "code_norm": False,
    "batch_size": 32,
}


def _cells(grid: str) -> tuple[Cell, ...]:
    heads = (Cell(grid, label, settings) for label, settings in _HEADS.items())
    return (*heads, Cell(grid, "float", note="cosine of the features themselves: no codes"))


GRID = Grid(
    "heads on frozen features of Flower-17",
    "data/flowers17.zip",
    60,
    _cells("frozen"),
    heads=Heads(size=224, bits=(12, 24, 36, 48), seeds=(0, 1, 2, 3, 4)),
)
#: What a fine-tuned model of the small budget must beat to be worth its name.
SMALL_PICTURES = Grid(
    "heads on frozen features of the small budget's pictures",
    "data/flowers17.zip",
    20,
    _cells("frozen128"),
    heads=Heads(size=128, bits=(12, 48), seeds=(0,)),
)
