"""The paper's claim: what DSaH's published losses gain over DPSH on the same networks."""

from __future__ import annotations

from results.tables.records import load, markdown, shown_gain, shown_map

__all__ = ["table"]

#: DSaH minus DPSH++ in the paper's Table 2, points of MAP on Flower-17.
PAPER = {12: 26.5, 48: 7.7}


def table() -> str:
    """One row per length and budget."""
    rows = []
    for grid, budget in (("rivals", "10 epochs each"), ("rivals-passes", "30 trunk passes each")):
        records = load(grid)
        for bits, claimed in PAPER.items():
            ours, theirs = (records.get(f"{label}-{bits}") for label in ("dsah-paper", "dpsh"))
            if ours and theirs:
                maps = shown_map(ours), shown_map(theirs)
                rows.append((str(bits), budget, *maps, shown_gain(ours, theirs), f"+{claimed}"))
    header = ("bits", "budget", "DSaH, published losses", "DPSH", "gain, points", "paper's gain")
    return markdown(header, rows)
