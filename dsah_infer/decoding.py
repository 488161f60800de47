"""Pictures decoded ahead of the model by threads, in order, a bounded number at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer.contract import PixelRule
from dsah_infer.errors import PictureError
from dsah_infer.preprocess import Picture, load_picture

__all__ = ["Decoded", "decode_ahead", "is_one_picture"]

#: A source with its square uint8 (S, S, 3), or with why it has none.
Decoded = tuple[Any, npt.NDArray[np.uint8] | PictureError]


def is_one_picture(images: object) -> bool:
    """Whether ``images`` is one picture rather than an iterable of them."""
    if isinstance(images, np.ndarray):
        return images.ndim in (2, 3)
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image)


def decode_ahead(
    pictures: Iterable[Picture], rule: PixelRule, *, workers: int, ahead: int
) -> Generator[Decoded, None, None]:
    """Yield each picture with its square or its error, in the order given.

    ``pictures`` is read in the caller's thread, at most ``ahead`` items before the one that is
    yielded. With one worker everything is decoded in the caller's thread.
    """
    if workers < 2:
        for position, source in enumerate(pictures):
            yield source, _attempt(source, rule, position)
        return
    waiting: deque[tuple[Picture, Future[npt.NDArray[np.uint8] | PictureError]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="dsah-decode")
    try:
        for position, source in enumerate(pictures):
            waiting.append((source, pool.submit(_attempt, source, rule, position)))
            if len(waiting) >= ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(
    source: Picture, rule: PixelRule, position: int
) -> npt.NDArray[np.uint8] | PictureError:
    named = isinstance(source, str | os.PathLike)
    try:
        return load_picture(source, rule, name=None if named else f"picture {position}")
    except PictureError as error:
        return error
