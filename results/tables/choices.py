"""Other choices at DSaH's full budget, on validation pictures, beside what they change."""

from __future__ import annotations

import json
import statistics

from results.choices import CHOICES, SPLITS, path_of
from results.tables.records import markdown

__all__ = ["table"]

#: What the choices of a plain hash layer are compared with.
PLAIN = "plain hash layer"


def table() -> str:
    """One row per choice that has been measured on every split."""
    measured: dict[str, list[float]] = {}
    for choice in CHOICES:
        files = [path_of(choice, split) for split in SPLITS]
        if all(file.exists() for file in files):
            measured[choice] = [json.loads(file.read_text())["map"] for file in files]
    rows = []
    for choice, values in measured.items():
        mean = statistics.mean(values)
        bits = CHOICES[choice].get("bits")
        plain = CHOICES[choice].get("code_norm") is False and not choice.startswith(PLAIN)
        beside = (PLAIN if plain else "the defaults") + (f", {bits} bits" if bits else "")
        base = measured.get(beside)
        over = f"{100 * (mean - statistics.mean(base)):+.1f}" if base else "–"
        splits = ", ".join(f"{s}: {v:.4f}" for s, v in zip(SPLITS, values, strict=True))
        rows.append(
            (choice, f"{mean:.4f}", splits, *(("", "") if values is base else (over, beside)))
        )
    return markdown(("choice", "validation MAP", "split seeds", "points", "over"), rows)
