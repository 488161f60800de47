"""Write the accuracy tables of README.md from the result files, between their markers.

    python results/table.py            # rewrite README.md
    python results/table.py --check    # exit 1 if README.md is not what the files say

A table stands between ``<!-- results:NAME -->`` and ``<!-- /results:NAME -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
#: The paper's Table 2: MAP of DSaH with VGG-16 on Flower-17, by bits.
PAPER_FLOWERS17 = {12: 0.9225, 24: 0.9267, 36: 0.9692, 48: 0.9756}


def load(grid: str) -> list[dict[str, Any]]:
    """The result files of a grid, in name order."""
    return [json.loads(p.read_text()) for p in sorted((ROOT / "results" / grid).glob("*.json"))]


def mean_map(results: list[dict[str, Any]]) -> str:
    """Mean MAP@all over split seeds, with the range over them where there are several."""
    values = [r["measurement"]["evaluation"]["map"] for r in results]
    text = f"{sum(values) / len(values):.4f}"
    if len(values) > 1:
        text += f" ({min(values):.4f} to {max(values):.4f})"
    return text


def flowers17() -> str:
    """MAP by bits over split seeds, beside the paper's figures."""
    by_bits = defaultdict(list)
    for result in load("flowers17"):
        by_bits[result["settings"]["bits"]].append(result)
    lines = [
        "| bits | MAP@all, mean (range) | split seeds | the paper, VGG-16 |",
        "|---|---|---|---|",
    ]
    for bits, results in sorted(by_bits.items()):
        seeds = ", ".join(str(s) for s in sorted(r["settings"]["split_seed"] for r in results))
        lines.append(f"| {bits} | {mean_map(results)} | {seeds} | {PAPER_FLOWERS17[bits]:.4f} |")
    return "\n".join(lines)


def marks() -> str:
    """MAP and pointing accuracy on the drawn set by mark size, with and without attention."""
    lines = [
        "| mark, share of the side | network | MAP@all | pointing | saliency in the mark |",
        "|---|---|---|---|---|",
    ]
    for grid in sorted((ROOT / "results").glob("marks*")):
        for result in load(grid.name):
            saliency = result["measurement"]["saliency"] or {}
            shown = [f"{saliency[k]:.3f}" if k in saliency else "–" for k in ("pointing", "mass")]
            cells = [f"0.{grid.name[5:]}", result["note"], mean_map([result]), *shown]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"flowers17": flowers17, "marks": marks}


def render(text: str) -> str:
    """README text with every marked table made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if pattern.search(text):
            table = make()
            text = pattern.sub(lambda _, t=table, b=begin, e=end: f"{b}\n{t}\n{e}", text)
    return text


def main() -> None:
    """Rewrite or check README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = render(old)
    if args.check:
        sys.exit("README.md differs: run python results/table.py" if new != old else 0)
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
