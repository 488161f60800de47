"""Training steps: images per second, beside the passes that a method cannot do without."""

from __future__ import annotations

import json

from results.tables.records import ROOT, markdown

__all__ = ["table"]


def table() -> str:
    """One row per loop of bench/train_step.py."""
    path = ROOT / "bench" / "results" / "train_step.json"
    records = json.loads(path.read_text())["records"] if path.exists() else []
    rows = [
        (
            record["method"],
            f"{record['images_per_s']:.0f}",
            f"{record['passes_images_per_s']:.0f}",
            f"{record['step_over_passes']:.2f}",
            f"{record['peak_mib']}",
        )
        for record in records
    ]
    header = ("loop", "images/s", "images/s of its passes alone", "step / passes", "peak MiB")
    return markdown(header, rows)
