"""DSaH and the strongest rivals at the full budget, on one split."""

from __future__ import annotations

from results.grids.full import LABELS
from results.tables.records import load, markdown, shown_gain, shown_map
from results.tables.rivals import NAMES

__all__ = ["table"]

BITS = (12, 48)


def table() -> str:
    """One row per method, with what it gains over DSaH."""
    records, ours = load("rivals-full"), load("flowers17")
    base = {bits: ours.get(f"dsah-{bits}-split0") for bits in BITS}
    rows = [(NAMES["dsah"], *(part for bits in BITS for part in (shown_map(base[bits]), "")))]
    for label in LABELS:
        cells: list[str] = []
        for bits in BITS:
            record, own = records.get(f"{label}-{bits}"), base[bits]
            cells += [shown_map(record), shown_gain(record, own) if record and own else "–"]
        rows.append((NAMES[label], *cells))
    header = (name for bits in BITS for name in (f"{bits} bits", "over DSaH, points"))
    return markdown(("method", *header), rows)
