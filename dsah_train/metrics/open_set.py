"""The four-way open-set report: does the model find classes that it was not trained on?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import UsageError
from dsah_infer.index import HammingIndex
from dsah_train.metrics.record import Evaluation
from dsah_train.metrics.retrieval import LOOKUP_RADIUS, evaluate_codes

__all__ = ["OpenSetReport", "open_set_report"]

Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OpenSetReport:
    """Seen and unseen queries on seen, unseen and all gallery.

    Attributes:
        seen_on_seen: Queries of trained classes on the gallery of trained classes.
        seen_on_all: The same queries on the whole gallery.
        unseen_on_unseen: Queries of held-out classes on the gallery of held-out classes.
        unseen_on_all: The same queries on the whole gallery: the hard case of production.
        unseen_on_seen_false_hits: Mean number of gallery items of trained classes within
            distance 2 of an unseen query that share no label with it. With one label each nothing
            there is relevant, so MAP says nothing; a system that should answer "none of these"
            wants 0.
    """

    seen_on_seen: Evaluation
    seen_on_all: Evaluation
    unseen_on_unseen: Evaluation
    unseen_on_all: Evaluation
    unseen_on_seen_false_hits: float


def open_set_report(
    query_codes: npt.NDArray[np.uint8],
    query_targets: npt.NDArray[np.uint8],
    gallery_codes: npt.NDArray[np.uint8],
    gallery_targets: npt.NDArray[np.uint8],
    *,
    seen_classes: npt.NDArray[np.bool_],
    bits: int,
    symbol_bits: int = 1,
    topk: tuple[int, ...] = (100, 1000, 5000),
) -> OpenSetReport:
    """Evaluate queries of trained and of held-out classes apart.

    An item is seen if all of its labels are; an unseen item has at least one held-out label.

    Args:
        query_codes: Packed codes, uint8 (m, ceil(bits / 8)).
        query_targets: Multi-hot labels over trained *and* held-out classes, uint8 (m, C).
        gallery_codes: Packed codes, uint8 (n, ceil(bits / 8)).
        gallery_targets: Multi-hot labels, uint8 (n, C).
        seen_classes: Which classes were trained on, bool (C,).
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        topk: Cut-offs, as for `evaluate_codes`.

    Raises:
        UsageError: Queries or gallery lack seen or unseen items.
    """
    held_out = ~np.asarray(seen_classes, dtype=bool)
    unseen_query: Rows = query_targets[:, held_out].sum(axis=1) > 0
    unseen_item: Rows = gallery_targets[:, held_out].sum(axis=1) > 0
    for what, unseen in (("queries", unseen_query), ("gallery items", unseen_item)):
        if unseen.all() or not unseen.any():
            raise UsageError(
                f"{int(unseen.sum())} of {len(unseen)} {what} are of held-out classes; the "
                "open-set report needs some of trained and some of held-out classes"
            )

    def evaluate(queries: Rows, items: Rows) -> Evaluation:
        return evaluate_codes(
            query_codes[queries],
            query_targets[queries],
            gallery_codes[items],
            gallery_targets[items],
            bits=bits,
            symbol_bits=symbol_bits,
            topk=topk,
        )

    every = np.ones(len(gallery_codes), dtype=bool)
    index = HammingIndex(bits, symbol_bits=symbol_bits)
    index.add(gallery_codes[~unseen_item])
    limits, _, near = index.range_search(query_codes[unseen_query], LOOKUP_RADIUS)
    asked = np.repeat(query_targets[unseen_query], np.diff(limits), axis=0)
    false = ~(asked & gallery_targets[~unseen_item][near]).any(axis=1)
    return OpenSetReport(
        seen_on_seen=evaluate(~unseen_query, ~unseen_item),
        seen_on_all=evaluate(~unseen_query, every),
        unseen_on_unseen=evaluate(unseen_query, unseen_item),
        unseen_on_all=evaluate(unseen_query, every),
        unseen_on_seen_false_hits=float(false.sum() / unseen_query.sum()),
    )
