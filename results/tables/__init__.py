"""Every table by the name of its markers."""

from __future__ import annotations

from collections.abc import Callable

from results.tables import (
    ablations,
    cifar10,
    claim,
    flowers17,
    frozen,
    marks,
    nested,
    rivals,
    steps,
    student,
    unseen,
)

__all__ = ["TABLES"]

TABLES: dict[str, Callable[[], str]] = {
    "flowers17": flowers17.table,
    "rivals": rivals.table,
    "claim": claim.table,
    "frozen": frozen.table,
    "marks": marks.table,
    "ablations": ablations.table,
    "unseen": unseen.table,
    "student": student.table,
    "nested": nested.table,
    "cifar10": cifar10.table,
    "steps": steps.table,
}
