"""Every departure of preset best from the paper, with its measured effect."""

from __future__ import annotations

from results.grids.ablations import GRID
from results.tables.records import load, markdown, shown_gain, shown_map

__all__ = ["table"]


def table() -> str:
    """One row per decision: how much MAP is lost where the paper's value is put back."""
    records = load("ablations")
    base = records.pop("best", None)
    rows = []
    for cell in GRID.cells:
        record = records.get(cell.name)
        if record is None or base is None:
            continue
        name = cell.name
        values = base["settings"][name], record["settings"][name]
        rows.append((f"`{name}`", *map(str, values), shown_map(record), shown_gain(record, base)))
    if rows and base is not None:
        rows.insert(0, ("preset best", "", "", shown_map(base), ""))
    return markdown(("decision", "best", "here", "MAP@all", "effect, points"), rows)
