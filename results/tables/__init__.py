"""Every table by the name of its markers."""

from __future__ import annotations

from collections.abc import Callable

from results.tables import (
    ablations,
    around,
    choices,
    cifar10,
    claim,
    encoding,
    flowers17,
    frozen,
    full,
    marks,
    nested,
    ranking,
    rivals,
    steps,
    student,
    unseen,
)

__all__ = ["TABLES"]

TABLES: dict[str, Callable[[], str]] = {
    "flowers17": flowers17.table,
    "flowers17-plain": flowers17.plain_table,
    "rivals": rivals.table,
    "claim": claim.table,
    "frozen": frozen.table,
    "rivals-full": full.table,
    "marks": marks.table,
    "ablations": ablations.table,
    "choices": choices.table,
    "around": around.hash_layers,
    "batches": around.batches,
    "unseen": unseen.table,
    "student": student.table,
    "nested": nested.table,
    "cifar10": cifar10.table,
    "steps": steps.table,
    "rank": ranking.table,
    "encode-engines": encoding.engines,
    "encode-precision": encoding.precision,
    "encode-cleanups": encoding.cleanups,
    "encode-pipeline": encoding.pipeline,
    "encode-start": encoding.start,
    "encode-rivals": encoding.rivals,
    "encode-paper": encoding.paper,
}
