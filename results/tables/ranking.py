"""What ``bench/rank.py`` measured on one thread, as README.md shows it."""

from __future__ import annotations

import json
from typing import Any

from results.tables.records import ROOT, markdown

__all__ = ["table"]


def table() -> str:
    """Microseconds per query beside FAISS's."""
    path = ROOT / "bench" / "results" / "rank.json"
    sections = json.loads(path.read_text()) if path.exists() else {}

    def rows(section: str) -> list[dict[str, Any]]:
        found = sections.get(section, {}).get("rows", [])
        return [row for row in found if row["threads"] == 1]

    cases = [("64 random bits", row) for row in rows("random64")]
    cases += [
        (f"64 bits as learned codes fall (1000 centres, flips of {row['flip']:.0%})", row)
        for row in rows("learned")
        if row["k"] == 100
    ]
    cases += [
        (f"{row['case'].split()[0]} bits as learned", row)
        for row in rows("collapsed")
        if "learned" in row["case"] and row["k"] == 100 and row["queries"] == 1
    ]
    header = ("codes", "queries at a time", "k", "dsah", "FAISS", "ratio", "least ratio")
    return markdown(
        header,
        [
            (f"{row['codes'] // 1_000_000} M, {what}", str(row.get("queries", 1)), str(row["k"]),
             f"{row['ours_us']:,.0f}", f"{row['faiss_us']:,.0f}", _ratio(row["ratio"]),
             _ratio(row["least_ratio"]) if "least_ratio" in row else "–")
            for what, row in cases
        ],
    )  # fmt: skip


def _ratio(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
