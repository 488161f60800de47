"""What was tried around DSaH's defaults on validation pictures, at a small budget."""

from __future__ import annotations

import json

from results.grids.rivals import RATES
from results.tables.records import markdown

__all__ = ["batches", "hash_layers"]

BITS = ("12", "48")


def hash_layers() -> str:
    """One row per hash layer and rate."""
    tried = json.loads(RATES["flowers17"].read_text()).get("dsah_around", {})
    rows: dict[tuple[bool, float], dict[str, float]] = {}
    for bits in BITS:
        for start in tried.get(bits, []):
            rows.setdefault((start["code_norm"], start["lr"]), {})[bits] = start["map"]
    return markdown(
        ("hash layer", "rate", *(f"{bits} bits" for bits in BITS)),
        [
            ("normalised" if layer else "plain", f"{rate:g}", *_shown(found))
            for (layer, rate), found in rows.items()
        ],
    )


def batches() -> str:
    """One row per batch."""
    tried = json.loads(RATES["flowers17"].read_text())["dsah_batches"]
    sizes = sorted({int(size) for found in tried.values() for size in found})
    rows = []
    for size in sizes:
        found = {bits: maps[str(size)] for bits, maps in tried.items() if str(size) in maps}
        rows.append((str(size), *_shown(found)))
    return markdown(("pictures in a batch", *(f"{bits} bits" for bits in BITS)), rows)


def _shown(found: dict[str, float]) -> list[str]:
    return [f"{found[bits]:.4f}" if bits in found else "–" for bits in BITS]
