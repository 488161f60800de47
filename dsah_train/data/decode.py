"""Decode a whole part once into memory, by the written pixel rule, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, overload

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dsah_infer.contract import PixelRule
from dsah_infer.cpu import available_cores
from dsah_infer.errors import DataError, PictureError, UsageError
from dsah_infer.preprocess import load_picture
from dsah_train.data.records import Part

__all__ = ["decode_masks", "decode_part"]

Pixels = npt.NDArray[np.uint8]


@overload
def decode_part(
    part: Part,
    rule: PixelRule,
    *,
    on_error: Literal["raise"] = "raise",
    progress: bool = True,
    label: str = "decode",
) -> Pixels: ...


@overload
def decode_part(
    part: Part,
    rule: PixelRule,
    *,
    on_error: Literal["skip"],
    progress: bool = True,
    label: str = "decode",
) -> tuple[Pixels, npt.NDArray[np.int64]]: ...


def decode_part(
    part: Part,
    rule: PixelRule,
    *,
    on_error: str = "raise",
    progress: bool = True,
    label: str = "decode",
) -> Pixels | tuple[Pixels, npt.NDArray[np.int64]]:
    """Decode all pictures of a part into one array, in the order of the part.

    Args:
        part: What to decode (n pictures).
        rule: The pixel rule; S is its ``size``.
        on_error: ``raise`` stops at the first corrupt picture of the part; ``skip`` leaves
            corrupt ones out and prints their names.
        progress: Show a bar.
        label: Text before the bar.

    Returns:
        uint8 RGB (n, S, S, 3); with ``skip`` also the indices that were kept, int64 ascending.

    Raises:
        PictureError: A corrupt picture (``raise``); names it.
        DataError: Every picture is corrupt (``skip``).
    """
    if on_error not in ("raise", "skip"):
        raise UsageError(f"on_error = {on_error!r}, allowed: 'raise' or 'skip'")
    pixels = np.empty((len(part), rule.size, rule.size, 3), dtype=np.uint8)

    def one(index: int) -> PictureError | None:
        name = part.names[index]
        try:
            pixels[index] = load_picture(part.read(index), rule, name=name)
        except PictureError as error:
            return error
        except (OSError, DataError) as error:
            return PictureError(name, str(error))
        return None

    kept = []
    with ThreadPoolExecutor(available_cores()) as pool:
        outcomes = pool.map(one, range(len(part)))
        bar = tqdm(outcomes, label, len(part), unit="pic", disable=not progress, leave=False)
        for index, error in enumerate(bar):
            if error is None:
                kept.append(index)
            elif on_error == "raise":
                pool.shutdown(cancel_futures=True)
                raise error
            else:
                tqdm.write(f"skipped {error}")
    if on_error == "raise":
        return pixels
    if not kept:
        raise DataError(f"all {len(part)} pictures are corrupt, the first is {part.names[0]!r}")
    chosen = np.asarray(kept, dtype=np.int64)
    return (pixels if len(kept) == len(part) else pixels[chosen]), chosen


def decode_masks(part: Part, rule: PixelRule, *, on_error: str = "raise") -> Pixels:
    """Masks of a part as the model sees its pictures: uint8 0/1, shape (n, S, S).

    Args:
        part: Pictures with masks.
        rule: The pixel rule. What its crop cuts off is gone from a mask, perhaps all of it.
        on_error: Whether an unreadable mask is an error (``raise``) or is named and left empty
            (``skip``).

    Raises:
        DataError: The data set has no masks.
        PictureError: An unreadable mask (``raise``); names its picture.
    """
    if part.masks is None:
        raise DataError(
            "this data has no masks; masks/ beside train/ and query/, or embedded:marks, has them"
        )
    read: Callable[[int], bytes] = part.masks
    masks = np.zeros((len(part), rule.size, rule.size), dtype=np.uint8)
    for index, name in enumerate(part.names):
        what = f"mask of {name}"
        try:
            # The rule that shapes the picture shapes its mask, so the two stay aligned.
            masks[index] = load_picture(read(index), rule, name=what)[..., 0] > 127
        except (OSError, DataError, PictureError) as error:
            known = error if isinstance(error, PictureError) else PictureError(what, str(error))
            if on_error == "raise":
                raise known from None
            tqdm.write(f"skipped {known}")
    return masks
