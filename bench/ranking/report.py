"""Tables and the picture of the report."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ranking.sections import SECTIONS

__all__ = ["missed", "plot", "report", "table"]

Results = dict[str, dict[str, Any]]


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown; the last column says whether a floor holds."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "holds"))
    columns += ["holds"] if any("holds" in row for row in rows) else []
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_show(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


COLUMNS = """All times are of one query, after ``add`` and one warm-up search. ``first_us`` is the
very first pass after it; ``ours_us`` and ``faiss_us`` are the best of some passes that take turns.
``ratio`` is theirs, ``median_ratio`` that of the medians, ``first_ratio`` that of our first pass
and their best. Floors are about ``least_ratio``, the smallest of the three.
``extra_bytes_per_code`` is what stands beside the codes by default; ``sublinear=False`` leaves it
out."""


def missed(results: Results) -> list[str]:
    """The rows below their floor."""
    return [
        f"{name}: {row}"
        for name, result in results.items()
        for row in result["rows"]
        if not row.get("holds", True)
    ]


def report(results: Results, command: str) -> str:
    """The whole report as Markdown."""
    parts = [f"# The ranker against FAISS and USearch\n\nMeasured by `{command}`.\n\n{COLUMNS}"]
    for name, result in results.items():
        about = inspect.getdoc(SECTIONS[name])
        parts.append(f"## {name}\n\n{about}\n\n{table(result['rows'])}")
        facts = ", ".join(f"{key}: {value}" for key, value in result["machine"].items())
        parts.append(f"<sub>{facts}; {result['seconds']:.0f} s</sub>")
    return "\n\n".join(parts) + "\n"


def plot(results: Results, path: Path) -> None:
    """Cost against size, and recall against cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = results.get("slope", {}).get("rows", [])
    for who, name in (("ours", "HammingIndex"), ("faiss", "FAISS IndexBinaryFlat")):
        left.loglog([r["codes"] for r in rows], [r[f"{who}_us"] for r in rows], "o-", label=name)
    left.set(xlabel="random 64-bit codes", ylabel="µs per query, top-10, one thread")
    rows = [r for r in results.get("recall", {}).get("rows", []) if r["k"] == 100]
    for name, n in dict.fromkeys((r["index"], r["codes"]) for r in rows):
        some = [r for r in rows if (r["index"], r["codes"]) == (name, n)]
        style = "*" if name == "HammingIndex" else "o-"
        right.semilogx(
            [r["us"] for r in some], [r["recall"] for r in some], style, label=f"{name}, {n:,}"
        )
    right.set(xlabel="µs per query, top-100, one thread", ylabel="recall (learned-like codes)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _show(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
