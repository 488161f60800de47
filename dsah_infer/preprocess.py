"""The written rule by which a picture becomes the uint8 square that a model sees (version 1)."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from dsah_infer.contract import PixelRule
from dsah_infer.errors import PictureError

Picture = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]


def load_picture(
    source: Picture, rule: PixelRule, *, name: str | None = None
) -> npt.NDArray[np.uint8]:
    """Decode, orient, crop and resize one picture: uint8 RGB, shape (S, S, 3)."""
    name = name or (str(source) if isinstance(source, str | Path) else "picture")
    try:
        if isinstance(source, np.ndarray):
            image = Image.fromarray(source)
        elif isinstance(source, Image.Image):
            image = source
        else:
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
            image.draft("RGB", (2 * rule.size, 2 * rule.size))
        image = ImageOps.exif_transpose(image).convert("RGB")
    except OSError as error:
        raise PictureError(name, str(error)) from error
    width, height = image.size
    side = rule.crop * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = image.resize((rule.size, rule.size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(square)
