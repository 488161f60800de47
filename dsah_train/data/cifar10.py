"""CIFAR-10 (Krizhevsky, 2009), in the three protocols of the hashing literature.

Figures of different protocols are not comparable, so each carries its name:

``paper``
    1,000 query (100 per class) and 5,000 train (500 per class) drawn from the union of the 60,000
    pictures; the gallery is the 59,000 that are not queries, training pictures among them.
    DSaH reports this one; others call it "B" or "cifar10-1".
``A``
    Queries and training pictures as in ``paper``; the gallery is the 54,000 that are neither.
``C``
    The official parts: 50,000 train = gallery, 10,000 query. An easy one; nothing is drawn.

Read from the official Python batches or from ``train/<class>/`` and ``test/<class>/`` pictures.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer.errors import DataError
from dsah_train.data.classfolders import class_folders
from dsah_train.data.official import OfficialSet, Tails
from dsah_train.data.records import Dataset, Part, join, one_hot
from dsah_train.data.sources import Source
from dsah_train.data.splits import draw_per_class

__all__ = ["CIFAR10"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
QUERY, TRAIN = 100, 500
_TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN_BATCHES, "test_batch")


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails = Tails(source)
    if tails.has(*_BATCHES):
        first, second = _batches(tails, _TRAIN_BATCHES), _batches(tails, ("test_batch",))
    else:
        folders = class_folders(source)
        if folders.class_names != CLASSES:
            raise DataError(f"{source.path}: classes {folders.class_names}, expected {CLASSES}")
        first, second = folders.train, folders.query
    variant = protocol.split(":")[1]
    train, query, gallery = first, second, first
    if variant != "C":
        train, query, gallery = _drawn(join(first, second), variant, split_seed)
    return Dataset(
        name="cifar10",
        class_names=CLASSES,
        train=train,
        query=query,
        gallery=gallery,
        protocol=protocol,
        split_seed=split_seed,
        multi_label=False,
        drawn=variant != "C",
    )


def _drawn(union: Part, variant: str, seed: int) -> tuple[Part, Part, Part]:
    smallest = int(union.targets.sum(axis=0, dtype=np.int64).min())
    if smallest <= QUERY + TRAIN:
        raise DataError(
            f"cifar10: a class has {smallest} pictures; the protocol draws {QUERY} queries and "
            f"{TRAIN} training pictures of each"
        )
    asked = draw_per_class(union.targets, [QUERY] * len(CLASSES), seed=seed)
    rest = np.setdiff1d(np.arange(len(union)), asked)
    among = draw_per_class(union.targets[rest], [TRAIN] * len(CLASSES), seed=seed, stream=2)
    train = rest[among]
    gallery = rest if variant == "paper" else np.setdiff1d(rest, train)
    return union.subset(train), union.subset(asked), union.subset(gallery)


def _batches(tails: Tails, names: Sequence[str]) -> Part:
    """Pictures of some of the official batches, in their order."""
    batches = [_unpickle(tails, name) for name in names]
    pixels = np.concatenate([data for data, _ in batches])
    labels = np.concatenate([label for _, label in batches])
    pictures = tuple(
        f"{name}/{i:05d}.png"
        for name, (rows, _) in zip(names, batches, strict=True)
        for i in range(len(rows))
    )
    return Part(pictures, one_hot(labels, len(CLASSES)), _Pixels(pixels))


@dataclass(frozen=True)
class _Pixels:
    """Reader of rows of 3,072 values, red, green and blue planes of 32 x 32, as PNG files."""

    rows: npt.NDArray[np.uint8]

    def __call__(self, index: int) -> bytes:
        file = io.BytesIO()
        planes = self.rows[index].reshape(3, 32, 32)
        Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0))).save(
            file, "PNG", compress_level=1
        )
        return file.getvalue()


class _ArraysOnly(pickle.Unpickler):
    """The official batches are pickles, which may run anything: allow what numpy arrays need."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in old protocols
            return _latin1
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch")


def _latin1(text: str, _: object) -> bytes:
    return text.encode("latin1")


def _unpickle(tails: Tails, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    raw = tails.source.read(tails.need(name))
    try:
        batch = _ArraysOnly(io.BytesIO(raw), encoding="bytes").load()
        rows, labels = batch[b"data"], np.asarray(batch[b"labels"], dtype=np.int64)
    except Exception as error:  # a damaged pickle raises almost anything
        raise DataError(f"{tails.source.path}: {name} is not a CIFAR-10 batch ({error})") from error
    fits = getattr(rows, "dtype", None) == np.uint8 and rows.shape == (len(labels), 3072)
    if not fits or labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DataError(f"{tails.source.path}: {name} does not hold (n, 3072) bytes and n labels")
    return rows, labels


def _detect(tails: Tails) -> bool:
    folders = {tuple(name.split("/")[:2]) for name in tails.source.files if name.count("/") == 2}
    expected = {(part, label) for part in ("train", "test") for label in CLASSES}
    return tails.has(*_BATCHES) or folders == expected


CIFAR10 = OfficialSet(
    name="cifar10",
    protocols={
        "paper": "1,000 query, 5,000 train, gallery = the other 59,000",
        "A": "1,000 query, 5,000 train, gallery = the other 54,000",
        "C": "10,000 query, 50,000 train = gallery",
    },
    published="https://www.cs.toronto.edu/~kriz/cifar.html",
    files="cifar-10-python.tar.gz",
    archives=("cifar-10-python.tar.gz",),
    detect=_detect,
    load=_load,
)
