"""CIFAR-10 beside the paper's figure."""

from __future__ import annotations

from results.tables.records import load, map_of, markdown, shown_map
from results.tables.rivals import NAMES

__all__ = ["table"]

#: The paper's Table 1, 48 bits, VGG-16.
PAPER = {"dsah": 0.8478, "dpsh": 0.8317}


def table() -> str:
    """One row per method."""
    rows = []
    for name, record in load("cifar10").items():
        method = name.partition("-")[0]
        interval = record["measurement"]["evaluation"]["map_interval"]
        moved = map_of(record) - interval["mean"]  # from one order of ties to the expected one
        between = f"{interval['low'] + moved:.4f} to {interval['high'] + moved:.4f}"
        rows.append((NAMES[method], shown_map(record), between, f"{PAPER[method]:.4f}"))
    return markdown(("method, 48 bits", "MAP@all", "interval", "the paper, VGG-16"), rows)
