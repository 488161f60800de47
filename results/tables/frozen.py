"""Heads on frozen features: mean and standard deviation over seeds, by length."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from results.grids.frozen import GRID
from results.tables.records import Record, load, markdown
from results.tables.rivals import NAMES

__all__ = ["table"]

BITS = (12, 24, 36, 48)


def table() -> str:
    """One row per method, then what the codes could be without being codes."""
    rows, heads = [], dict[str, Record]()
    records = load("frozen")
    for cell in GRID.cells:
        record = records.get(cell.name)
        if record is None or cell.name == "float":
            continue
        heads[cell.name] = record
        name = "DSaH's losses, preset best" if cell.name == "dsah" else NAMES[cell.name]
        learns = record["settings"]["method"] not in ("itq", "lsh")
        rate = f"{record['settings']['lr']:g}" if learns else "–"
        rows.append((name, rate, *(_shown(_values(record, bits, "map_expected")) for bits in BITS)))
    if heads:
        each = [[_values(r, bits, "map_float") for r in heads.values()] for bits in BITS]
        best = (_shown(max(methods, key=mean)) for methods in each)
        rows.append(("the best of their activations, by cosine", "–", *best))
    if "float" in records:
        values = [run["map"] for run in records["float"]["runs"]]
        rows.append(("ImageNet features by cosine, nothing trained", "–", *[_shown(values)] * 4))
    return markdown(("method", "rate", *(f"{bits} bits" for bits in BITS)), rows)


def _values(record: Record, bits: int, name: str) -> list[float]:
    return [run[name] for run in record["runs"] if run["bits"] == bits]


def _shown(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values):.3f}"
