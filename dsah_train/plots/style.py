"""One look for all plots, and the one place that touches matplotlib."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dsah_infer.atomic_file import replacing
from dsah_infer.errors import MissingDependencyError, install_hint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "GOOD",
    "INK",
    "MARKERS",
    "MUTED",
    "WRONG",
    "axes",
    "plain_ticks",
    "save",
    "whole_ticks",
]

# Okabe and Ito's palette: told apart with every common colour vision, and in grey by order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8A8A8A", "#1A1A1A")
GOOD, WRONG = COLOURS[0], COLOURS[1]
INK, MUTED = "#222222", "#6E6E6E"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def axes(
    rows: int = 1, columns: int = 1, *, width: float = 6.4, height: float = 4.0
) -> tuple[Figure, list[Axes]]:
    """A figure in house style and its axes, row by row.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        width: Width of the figure, inches.
        height: Height of the figure, inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(f"plots need matplotlib: {install_hint('train')}") from None
    # A Figure of its own, not pyplot: no global state, no display, safe in threads.
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    cells = [cell for row in grid for cell in row]
    for cell in cells:
        cell.spines[["top", "right"]].set_visible(False)
        cell.spines[["left", "bottom"]].set_color(MUTED)
        cell.tick_params(colors=INK, labelsize=9)
        cell.grid(color="#E3E3E3", linewidth=0.8)
        cell.set_axisbelow(True)
    return figure, cells


def whole_ticks(axis: Axis) -> None:
    """Put ticks at whole numbers only, for epochs and distances."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def plain_ticks(axis: Axis, *, minor: bool = False) -> None:
    """Write the ticks of a logarithmic axis as plain numbers."""

    def major(value: float, _: float) -> str:
        return f"{value:g}"

    def one_two_five(value: float, _: float) -> str:
        text = f"{value:g}"
        return text if text.strip("0.")[:1] in {"2", "5"} else ""

    axis.set_major_formatter(major)
    # Over less than a decade or two the powers of ten alone leave the axis nearly bare.
    if minor:
        axis.set_minor_formatter(one_two_five)
    else:
        axis.set_minor_formatter("")


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, whole or not at all; equal figures give equal bytes."""
    for cell in figure.axes:
        legend = cell.get_legend()
        for text in (*cell.texts, *(legend.get_texts() if legend else ())):
            text.set_parse_math(False)  # a class may be called $x$: names are no formulas
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as stream:
        figure.savefig(stream, format="png", metadata={"Software": None})
    return target
