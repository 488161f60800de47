"""CIFAR-10 in the paper's protocol, as far as one length at the small budget goes."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.budget import SMALL
from results.grids.rivals import learning_rate

__all__ = ["GRID"]

GRID = Grid(
    "CIFAR-10, paper protocol, 48 bits",
    "data/cifar10.zip",
    40,
    tuple(
        Cell(
            "cifar10",
            f"{method}-48",
            {
                "method": method,
                "bits": 48,
                **SMALL,
                **learning_rate(method, data="cifar10"),
                "protocol": "cifar10:paper",
            },
        )
        for method in ("dsah", "dpsh")
    ),
)
