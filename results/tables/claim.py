"""The paper's claim: what DSaH's published losses gain over DPSH on the same networks."""

from __future__ import annotations

from statistics import mean

from dsah_train.metrics import spread
from results.tables.records import Record, load, markdown, shown_gain, shown_map

__all__ = ["table"]

#: DSaH minus DPSH++ in the paper's Table 2, points of MAP on Flower-17.
PAPER = {12: 26.5, 24: 9.7, 36: 10.9, 48: 7.7}


def table() -> str:
    """One row per budget and length."""
    rows = []
    for grid, budget in (("rivals", "10 epochs each"), ("rivals-passes", "30 trunk passes each")):
        records = load(grid)
        for bits, claimed in PAPER.items():
            ours, theirs = (records.get(f"{label}-{bits}") for label in ("dsah-paper", "dpsh"))
            if ours and theirs:
                maps = shown_map(ours), shown_map(theirs)
                rows.append((budget, str(bits), *maps, shown_gain(ours, theirs), f"+{claimed}"))
    heads = load("frozen")
    if {"dsah-paper", "dpsh"} <= set(heads):
        rows += [_heads(heads, bits, claimed) for bits, claimed in PAPER.items()]
    header = ("budget", "bits", "DSaH, published losses", "DPSH", "gain, points", "paper's gain")
    return markdown(header, rows)


def _heads(records: dict[str, Record], bits: int, claimed: float) -> tuple[str, ...]:
    """Heads on frozen features: Student's interval over seeds, which both methods share."""
    ours, theirs = (
        {run["seed"]: run["map_expected"] for run in records[label]["runs"] if run["bits"] == bits}
        for label in ("dsah-paper", "dpsh")
    )
    gains = [100 * (ours[seed] - theirs[seed]) for seed in sorted(ours)]
    gain = spread(gains)
    shown = f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"
    maps = (f"{mean(values.values()):.4f}" for values in (ours, theirs))
    return ("heads, 5 seeds", str(bits), *maps, shown, f"+{claimed}")
