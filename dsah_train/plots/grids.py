"""Sheets of photographs: retrieval results, saliency, worst queries.

A path that ends in .jpg gives a JPEG, smaller and finer for photographs; any other a PNG.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dsah_infer.atomic_file import replacing
from dsah_infer.errors import UsageError
from dsah_infer.saliency import overlay
from dsah_train.plots.style import GOOD, INK, MUTED, WRONG

__all__ = ["Hit", "RetrievalRow", "retrieval_grid", "saliency_sheet"]

Pixels = npt.NDArray[np.uint8]

GAP, EDGE, CAPTION = 6, 3, 16


@dataclass(frozen=True)
class Hit:
    """One retrieved picture.

    Attributes:
        image: uint8 RGB (S, S, 3).
        distance: Its distance to the query.
        relevant: Whether it shares a label with the query.
    """

    image: Pixels
    distance: int
    relevant: bool


@dataclass(frozen=True)
class RetrievalRow:
    """A query and its hits in rank order.

    Attributes:
        query: uint8 RGB (S, S, 3).
        hits: The first hits.
        label: Text above the query.
        saliency: float (S, S) in [0, 1], drawn over a second copy of the query.
    """

    query: Pixels
    hits: Sequence[Hit]
    label: str = ""
    saliency: npt.NDArray[np.float32] | None = None


def retrieval_grid(
    rows: Sequence[RetrievalRow], out: str | os.PathLike[str], *, side: int = 96
) -> Path:
    """One line per query: the query, its saliency where there is one, and its hits.

    Relevant hits have a solid blue frame, others a broken orange one, so that the two differ
    without colour too. Under each hit stands its distance.

    Args:
        rows: At least one row.
        out: File to write.
        side: Side of a thumbnail, pixels.

    Raises:
        UsageError: No rows.
    """
    if not rows:
        raise UsageError("a retrieval grid needs at least one query")
    lead = 1 + any(row.saliency is not None for row in rows)
    columns = lead + max(len(row.hits) for row in rows)
    sheet = _Sheet(len(rows), columns, side, split=lead)
    for y, row in enumerate(rows):
        sheet.put(y, 0, row.query, row.label, frame=None)
        if row.saliency is not None:
            sheet.put(y, 1, overlay(row.query, row.saliency), "attention", frame=None)
        for x, hit in enumerate(row.hits):
            frame = "good" if hit.relevant else "wrong"
            sheet.put(y, lead + x, hit.image, f"distance {hit.distance}", frame=frame)
    return sheet.save(out)


def saliency_sheet(
    images: Pixels,
    saliency: npt.NDArray[np.float32],
    out: str | os.PathLike[str],
    *,
    masks: npt.NDArray[np.bool_] | None = None,
    labels: Sequence[str] | None = None,
    side: int = 128,
    columns: int = 3,
) -> Path:
    """Pictures beside their saliency, as heat over the dimmed picture.

    Args:
        images: uint8 RGB (n, S, S, 3), n >= 1.
        saliency: float (n, S, S) in [0, 1].
        out: File to write.
        masks: bool (n, S, S); their outline is drawn in white.
        labels: A text for each picture.
        side: Side of a thumbnail, pixels.
        columns: Pairs per line.

    Raises:
        UsageError: No pictures, or shapes that do not fit.
    """
    if not len(images) or images.shape[:3] != saliency.shape:
        raise UsageError(
            f"images {images.shape} and saliency {saliency.shape}: expected (n, S, S, 3) and "
            "(n, S, S) with n >= 1"
        )
    columns = min(columns, len(images))
    sheet = _Sheet(-(-len(images) // columns), 2 * columns, side)
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        heat = overlay(image, saliency[i])
        if masks is not None:
            heat = _outline(heat, masks[i])
        sheet.put(y, 2 * x, image, labels[i] if labels is not None else "", frame=None)
        sheet.put(y, 2 * x + 1, heat, "", frame=None)
    return sheet.save(out)


def _outline(image: Pixels, mask: npt.NDArray[np.bool_]) -> Pixels:
    inner = np.pad(mask, 1)
    inner = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2]
    inner &= np.pad(mask, 1)[1:-1, 2:]
    drawn = image.copy()
    drawn[mask & ~inner] = 255
    return drawn


class _Sheet:
    """A white sheet of equal cells, each a thumbnail over one line of text."""

    def __init__(self, rows: int, columns: int, side: int, split: int = 0) -> None:
        self.side, self.split = side, split
        self.cell = side + 2 * EDGE + GAP
        self.font = ImageFont.load_default(size=11)
        width = columns * self.cell + GAP + (2 * GAP if split else 0)
        self.image = Image.new("RGB", (width, rows * (self.cell + CAPTION) + GAP), "white")
        self.draw = ImageDraw.Draw(self.image)

    def put(self, row: int, column: int, pixels: Pixels, text: str, *, frame: str | None) -> None:
        left = GAP + column * self.cell + (2 * GAP if self.split and column >= self.split else 0)
        top = GAP + row * (self.cell + CAPTION)
        box = (left, top, left + self.side + 2 * EDGE - 1, top + self.side + 2 * EDGE - 1)
        thumbnail = Image.fromarray(pixels).resize((self.side,) * 2, Image.Resampling.LANCZOS)
        if frame == "good":
            self.draw.rectangle(box, outline=GOOD, width=EDGE)
        elif frame == "wrong":
            self._broken_frame(box)
        self.image.paste(thumbnail, (left + EDGE, top + EDGE))
        colour = INK if frame is None else MUTED
        self.draw.text((left + EDGE, box[3] + 3), self._fit(text), fill=colour, font=self.font)

    def _broken_frame(self, box: tuple[int, int, int, int]) -> None:
        self.draw.rectangle(box, outline=WRONG, width=EDGE)
        left, top, right, bottom = box
        for start in range(left + 8, right - 4, 14):
            self.draw.rectangle((start, top, start + 5, bottom), fill="white")
        for start in range(top + 8, bottom - 4, 14):
            self.draw.rectangle((left, start, right, start + 5), fill="white")

    def _fit(self, text: str) -> str:
        while text and self.draw.textlength(text, font=self.font) > self.side + GAP:
            text = text[:-2] + "…" if text.endswith("…") else text[:-1] + "…"
        return text

    def save(self, path: str | os.PathLike[str]) -> Path:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as stream:
            if target.suffix.lower() in (".jpg", ".jpeg"):
                self.image.save(stream, "JPEG", quality=85, optimize=True)
            else:
                # A palette of 256 colours: a third of the size of a PNG of photographs.
                small = self.image.quantize(256, method=Image.Quantize.MEDIANCUT)
                small.save(stream, "PNG", optimize=True)
        return target
