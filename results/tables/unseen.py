"""The four-way report: queries of trained and of held-out classes, each on two galleries."""

from __future__ import annotations

from results.grids.unseen import GRID
from results.tables.records import load, markdown
from results.tables.rivals import NAMES

__all__ = ["table"]

WAYS = ("seen_on_seen", "seen_on_all", "unseen_on_unseen", "unseen_on_all")


def table() -> str:
    """One row per method."""
    records = load("unseen")
    rows = []
    for cell in GRID.cells:
        if cell.name in records:
            report = records[cell.name]["measurement"]["open_set"]
            shown = [f"{report[way]['map_expected']:.4f}" for way in WAYS]
            false_hits = f"{report['unseen_on_seen_false_hits']:.1f}"
            rows.append((NAMES[cell.name.rpartition("-")[0]], *shown, false_hits))
    header = ("method", *(way.replace("_", " ") for way in WAYS), "false hits within 2")
    return markdown(header, rows)
