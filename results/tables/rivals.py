"""Every method and rival on the same networks, at equal epochs and at equal trunk passes."""

from __future__ import annotations

from results.grids.rivals import METHODS, trunk_passes
from results.tables.records import load, markdown, shown_map

__all__ = ["NAMES", "table"]

NAMES = {
    "dsah": "**DSaH**, preset best",
    "dsah-paper": "DSaH, losses as published",
    "doh": "DOH",
    "dagh": "DAgH",
    "dsh": "DSH",
    "dpsh": "DPSH",
    "dhn": "DHN",
    "hashnet": "HashNet",
    "csq": "CSQ",
    "orthohash": "OrthoHash",
    "itq": "ITQ (ImageNet features)",
    "lsh": "LSH (ImageNet features)",
}


def table() -> str:
    """One row per method, two budgets for each length."""
    epochs, passes = load("rivals"), load("rivals-passes")
    rows = []
    for label in METHODS:
        cells = []
        for bits in (12, 48):
            name = f"{label}-{bits}"
            same = label == "dsah"  # its epochs set the budget of passes
            cells += [
                shown_map(epochs.get(name)),
                shown_map((epochs if same else passes).get(name)),
            ]
        if any(cell != "–" for cell in cells):
            rows.append((NAMES[label], str(trunk_passes(label)), *cells))
    header = (
        "method",
        "passes an epoch",
        *(f"{bits} bits, {budget}" for bits in (12, 48) for budget in ("10 epochs", "30 passes")),
    )
    return markdown(header, rows)
