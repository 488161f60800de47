"""Any iterable of pictures through the model: decoded ahead, in batches, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dsah_infer.decoding import Decoded, decode_ahead
from dsah_infer.errors import PictureError
from dsah_infer.preprocess import Picture
from dsah_infer.session import Session

__all__ = ["Batch", "OnError", "encode_batches"]

OnError = Literal["raise", "skip"]
#: Pictures as decoded, and the model's rows for those that have a square.
Batch = tuple[list[Decoded], npt.NDArray[Any]]


def encode_batches(
    session: Callable[[], Session],
    output: str,
    pictures: Iterable[Picture],
    *,
    workers: int,
    batch_size: int,
    on_error: OnError,
    progress: bool,
) -> Iterator[Batch]:
    """Yield batches of at most ``batch_size`` pictures with their rows of ``output``.

    While one batch is in the model, threads decode the next two: that many squares are held,
    whatever the length of ``pictures``. With ``on_error="raise"`` the batch before an unreadable
    picture is still yielded, then its PictureError is raised.
    """
    decoded = decode_ahead(
        pictures, session().contract.pixels, workers=workers, ahead=2 * batch_size + workers
    )
    total = len(pictures) if isinstance(pictures, Sized) else None
    bar = tqdm(total=total, unit="picture", disable=not progress)
    with bar, contextlib.closing(decoded):
        held: list[Decoded] = []
        failure: PictureError | None = None
        for item in decoded:
            if isinstance(item[1], PictureError) and on_error == "raise":
                failure = item[1]
                break
            held.append(item)
            if len(held) == batch_size:
                yield held, _rows(session(), output, held)
                bar.update(len(held))
                held = []
        if held:
            yield held, _rows(session(), output, held)
            bar.update(len(held))
        if failure is not None:
            raise failure


def _rows(session: Session, output: str, held: list[Decoded]) -> npt.NDArray[Any]:
    squares = [square for _, square in held if not isinstance(square, PictureError)]
    return session.run([output], np.stack(squares))[0] if squares else np.empty((0, 0))
