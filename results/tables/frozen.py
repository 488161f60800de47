"""Heads on frozen features: mean and standard deviation over seeds, by length."""

from __future__ import annotations

from statistics import mean, stdev

from results.grids.frozen import GRID
from results.tables.records import load, markdown
from results.tables.rivals import NAMES

__all__ = ["table"]

BITS = (12, 24, 36, 48)


def table() -> str:
    """One row per method; the float bound has one figure for all lengths."""
    rows = []
    records = load("frozen")
    for cell in GRID.cells:
        record = records.get(cell.name)
        if record is None:
            continue
        shown = []
        for bits in BITS:
            values = [run["map"] for run in record["runs"] if run.get("bits", bits) == bits]
            shown.append(f"{mean(values):.3f} ± {stdev(values):.3f}")
        if cell.name == "float":
            rows.append(("cosine of the features, no codes", "–", *shown))
        else:
            name = "DSaH's losses, preset best" if cell.name == "dsah" else NAMES[cell.name]
            learns = record["settings"]["method"] not in ("itq", "lsh")
            rows.append((name, f"{record['settings']['lr']:g}" if learns else "–", *shown))
    return markdown(("method", "rate", *(f"{bits} bits" for bits in BITS)), rows)
