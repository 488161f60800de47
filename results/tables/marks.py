"""The drawn set: MAP and pointing accuracy by mark size, with and without attention."""

from __future__ import annotations

from results.grids.marks import GRIDS
from results.tables.records import load, markdown, shown_map

__all__ = ["table"]


def table() -> str:
    """One row per network and mark size."""
    rows = []
    for grid in GRIDS:
        for record in load(grid).values():
            saliency = record["measurement"]["saliency"] or {}
            shown = [f"{saliency[k]:.3f}" if k in saliency else "–" for k in ("pointing", "mass")]
            rows.append((f"0.{grid[5:]}", record["note"], shown_map(record), *shown))
    header = ("mark, share of the side", "network", "MAP@all", "pointing", "saliency in the mark")
    return markdown(header, rows)
