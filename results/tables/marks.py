"""The drawn set: MAP and pointing accuracy by mark size, with and without attention."""

from __future__ import annotations

from results.grids.marks import GRIDS
from results.tables.records import load, markdown, shown_gain, shown_map

__all__ = ["table"]


def table() -> str:
    """One row per network and mark size."""
    rows = []
    for grid in GRIDS:
        for record in load(grid).values():
            saliency = record["measurement"]["saliency"] or {}
            shown = [f"{saliency[k]:.3f}" if k in saliency else "–" for k in ("pointing", "mass")]
            with_attention = load(grid)["dsah-48-attention"]
            gained = "" if record == with_attention else shown_gain(with_attention, record)
            rows.append((f"0.{grid[5:]}", record["note"], shown_map(record), gained, *shown))
    header = (
        "mark, share of the side",
        "network",
        "MAP@all",
        "attention's gain, points",
        "pointing",
        "saliency in the mark",
    )
    return markdown(header, rows)
