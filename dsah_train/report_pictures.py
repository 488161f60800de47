"""The pictures of an evaluation report."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import PAD_ID
from dsah_train.artefacts import Artefact
from dsah_train.data import Part, decode_masks, decode_part
from dsah_train.measurement import Measurement
from dsah_train.metrics.ranking import rank_gallery
from dsah_train.plots.codes import code_map
from dsah_train.plots.curves import precision_at_rank, precision_recall
from dsah_train.plots.grids import Hit, RetrievalRow, retrieval_grid, saliency_sheet
from dsah_train.plots.histograms import distance_histogram

__all__ = ["Section", "draw_pictures"]

SHOWN_QUERIES = 6
SHOWN_HITS = 8
SHOWN_MAPS = 12


class Section(NamedTuple):
    """A picture of the report: title, file name, and what it shows."""

    title: str
    file: str
    text: str


def draw_pictures(m: Measurement, artefact: Artefact, out: Path) -> list[Section]:
    """Draw every picture into ``out``; queries to show are drawn by lot, with seed 0.

    Args:
        m: What was measured.
        artefact: What encoded the queries; asked for saliency maps.
        out: Existing folder.

    Returns:
        The sections of the report, in order.
    """
    curve = {f"{m.artefact['method']}, {m.artefact['bits']} bits": m.evaluation.by_rank}
    precision_recall(curve, out / "pr_curve.png")
    precision_at_rank(curve, out / "precision_at_n.png")
    distance_histogram(m.evaluation, out / "distances.png")
    code_map(
        m.query.codes,
        m.query.part.labels,
        tuple(m.data["class_names"]),
        out / "codes.png",
        bits=artefact.contract.bits,
        symbol_bits=artefact.contract.symbol_bits,
    )
    drawn = np.random.default_rng(0).permutation(len(m.query.part))
    worst = np.argsort(m.evaluation.average_precision, kind="stable")[:SHOWN_QUERIES]
    by_lot = np.sort(drawn[:SHOWN_QUERIES])
    retrieval_grid(_grid_rows(m, artefact, by_lot), out / "retrieval.jpg")
    retrieval_grid(_grid_rows(m, artefact, worst), out / "worst_queries.jpg")
    lot = "Queries drawn by lot (seed 0), not chosen."
    frames = "Blue frame: a label in common with the query. Broken orange frame: none."
    sections = [
        Section("Precision and recall", "pr_curve.png", "Means over queries at every rank."),
        Section("Precision at N", "precision_at_n.png", "Mean precision of the first N items."),
        Section(
            "Distances",
            "distances.png",
            "Each of the two is scaled to 1; where they overlap, no radius separates them.",
        ),
        Section("Query codes", "codes.png", "A larger point is a code that several queries share."),
        Section("Retrieval", "retrieval.jpg", f"{lot} {frames}"),
        Section("Worst queries", "worst_queries.jpg", f"Lowest average precision first. {frames}"),
    ]
    chosen = m.query.part.subset(np.sort(drawn[:SHOWN_MAPS]))
    maps = artefact.saliency(chosen)
    if maps is not None:
        rule, masks = artefact.contract.pixels, None
        if chosen.masks is not None:
            masks = decode_masks(chosen, rule, on_error="skip").astype(bool)
        saliency_sheet(
            decode_part(chosen, rule, progress=False),
            maps,
            out / "saliency.jpg",
            masks=masks,
            labels=[_label(m, chosen, i) for i in range(len(chosen))],
        )
        sections.append(Section("Attention", "saliency.jpg", lot))
    return sections


def _grid_rows(
    m: Measurement, artefact: Artefact, queries: npt.NDArray[np.int64]
) -> list[RetrievalRow]:
    rule = artefact.contract.pixels
    asked = m.query.part.subset(queries)
    (ranked,) = rank_gallery(
        m.query.codes[queries],
        asked.targets,
        m.gallery.codes,
        m.gallery.part.targets,
        bits=artefact.contract.bits,
        symbol_bits=artefact.contract.symbol_bits,
        same_items=None if m.same_items is None else m.same_items[queries],
        k=SHOWN_HITS,
    )
    pictures = decode_part(asked, rule, progress=False)
    maps = artefact.saliency(asked)
    rows = []
    for i, picture in enumerate(pictures):
        items = ranked.rows[i][ranked.rows[i] != PAD_ID]
        found = decode_part(m.gallery.part.subset(items), rule, progress=False)
        hits = [
            Hit(found[j], int(ranked.distances[i, j]), bool(ranked.relevant[i, j]))
            for j in range(len(found))
        ]
        label = f"{_label(m, asked, i)}, AP {m.evaluation.average_precision[queries[i]]:.2f}"
        rows.append(RetrievalRow(picture, hits, label, None if maps is None else maps[i]))
    return rows


def _label(m: Measurement, part: Part, i: int) -> str:
    """Names of a picture's classes."""
    return ", ".join(m.data["class_names"][c] for c in np.flatnonzero(part.targets[i]))
