"""DSaH at its full budget: MAP by bits over split seeds, beside the paper's figures."""

from __future__ import annotations

from collections import defaultdict

from results.tables.records import Record, load, map_of, markdown

__all__ = ["table"]

#: The paper's Table 2: MAP of DSaH with VGG-16 on Flower-17, by bits.
PAPER = {12: 0.9225, 24: 0.9267, 36: 0.9692, 48: 0.9756}


def table() -> str:
    """Mean and range over split seeds."""
    by_bits: dict[int, list[Record]] = defaultdict(list)
    for record in load("flowers17").values():
        by_bits[record["settings"]["bits"]].append(record)
    rows = []
    for bits, records in sorted(by_bits.items()):
        values = [map_of(record) for record in records]
        shown = f"{sum(values) / len(values):.4f}"
        if len(values) > 1:
            shown += f" ({min(values):.4f} to {max(values):.4f})"
        seeds = ", ".join(str(s) for s in sorted(r["settings"]["split_seed"] for r in records))
        rows.append((str(bits), shown, seeds, f"{PAPER[bits]:.4f}"))
    return markdown(("bits", "MAP@all, mean (range)", "split seeds", "the paper, VGG-16"), rows)
