"""Every method and rival on the same networks: heads alone, equal epochs, equal trunk passes."""

from __future__ import annotations

from results.grids.rivals import trunk_passes
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
    "dpsh-norm": "DPSH, normalised",
    "dhn-norm": "DHN, normalised",
    "hashnet-norm": "HashNet, normalised",
    "csq-norm": "CSQ, normalised",
    "itq": "ITQ (ImageNet features)",
    "lsh": "LSH (ImageNet features)",
}


def table() -> str:
    """One row per method; for each length its head on frozen features, and two budgets."""
    heads, epochs, passes = (load(name) for name in ("frozen128", "rivals", "rivals-passes"))
    rows = []
    for label in NAMES:
        cells = []
        for bits in (12, 48):
            name = f"{label}-{bits}"
            runs = heads.get(label, {}).get("runs", ())
            head = [f"{run['map_expected']:.4f}" for run in runs if run["bits"] == bits]
            cells += [
                *(head or ("–",)),
                shown_map(epochs.get(name)),
                # dsah's epochs set the budget of passes
                shown_map((epochs if label == "dsah" else passes).get(name)),
            ]
        if any(cell != "–" for cell in cells):
            rows.append((NAMES[label], str(trunk_passes(label)), *cells))
    header = (
        "method",
        "passes an epoch",
        *(
            f"{bits} bits, {budget}"
            for bits in (12, 48)
            for budget in ("head alone", "10 epochs", "30 passes")
        ),
    )
    return markdown(header, rows)
