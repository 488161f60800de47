"""How far relevant and irrelevant pairs lie apart."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dsah_train.metrics import Evaluation
from dsah_train.plots.style import GOOD, INK, WRONG, axes, save, whole_ticks

__all__ = ["distance_histogram"]


def distance_histogram(evaluation: Evaluation, out_png: str | os.PathLike[str]) -> Path:
    """Share of relevant and of irrelevant pairs at each distance.

    Each of the two is scaled to sum to 1, since irrelevant pairs outnumber relevant ones by the
    number of classes. Where the two overlap, no radius separates them.
    """
    figure, (cell,) = axes(height=3.4)
    for counts, name, colour, hatch in (
        (evaluation.irrelevant_distances, "different labels", WRONG, "////"),
        (evaluation.relevant_distances, "a label in common", GOOD, ""),
    ):
        shares = np.asarray(counts) / max(sum(counts), 1)
        cell.bar(
            range(len(shares)),
            shares,
            width=1.0,
            label=name,
            facecolor=(*_rgb(colour), 0.45),
            edgecolor=colour,
            linewidth=0.6,
            hatch=hatch,
        )
    cell.set(xlabel="distance", ylabel="share of pairs", xlim=(-0.7, None))
    cell.set_title("Distances between queries and gallery", loc="left", color=INK)
    whole_ticks(cell.xaxis)
    cell.legend(frameon=False, fontsize=9)
    return save(figure, out_png)


def _rgb(colour: str) -> tuple[float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b
