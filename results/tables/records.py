"""Result files, and the few ways in which tables show them.

Tables show MAP expected over all orders of equal distances: an order by id is one of them, and a
gallery that lies in class order makes it a lucky one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dsah_train.metrics import Interval, bootstrap_difference  # noqa: E402

__all__ = [
    "Record",
    "gain",
    "load",
    "map_of",
    "markdown",
    "shown_gain",
    "shown_map",
]

Record = dict[str, Any]


def load(grid: str) -> dict[str, Record]:
    """The result files of a grid by cell name."""
    files = sorted((ROOT / "results" / grid).glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in files}


def map_of(record: Record) -> float:
    """MAP@all of all queries on the whole gallery, expected over ties."""
    value: float = record["measurement"]["evaluation"]["map_expected"]
    return value


def shown_map(record: Record | None) -> str:
    """MAP@all, or a dash where it was not measured."""
    return "–" if record is None else f"{map_of(record):.4f}"


def gain(record: Record, base: Record) -> Interval:
    """`map_of` a record minus that of another on the same queries, with its bootstrap interval.

    Older files keep the AP of each query in one order of its ties only: the interval's width is
    theirs, its place that of the expected figures.
    """
    both = [r["measurement"]["evaluation"] for r in (record, base)]
    known = all(evaluation.get("average_precision_expected") for evaluation in both)
    name = "average_precision_expected" if known else "average_precision"
    found = bootstrap_difference(*(evaluation[name] for evaluation in both))
    mean = map_of(record) - map_of(base)
    moved = mean - found.mean
    return Interval(mean, found.low + moved, found.high + moved, found.level)


def shown_gain(record: Record, base: Record) -> str:
    """`gain` in points of MAP (hundredths), with its 95 % interval."""
    value = gain(record, base)
    return f"{100 * value.mean:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; says so where nothing has been measured yet."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return "*Not measured yet.*"
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *lines])
