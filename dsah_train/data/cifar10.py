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

Read from the official Python batches, by torchvision, or from ``train/<class>/`` and
``test/<class>/`` pictures.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer.errors import DataError
from dsah_train.data.classfolders import class_folders
from dsah_train.data.official import OfficialSet, Tails
from dsah_train.data.records import Dataset, Part, join, one_hot
from dsah_train.data.sources import Source
from dsah_train.data.splits import draw_per_class
from dsah_train.data.torchvision_sets import laid_out, torchvision_loader

__all__ = ["CIFAR10"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
QUERY, TRAIN = 100, 500
_FOLDER = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails = Tails(source)
    if tails.has(*_BATCHES):
        first, second = _official_parts(tails)
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


def _official_parts(tails: Tails) -> tuple[Part, Part]:
    """The official training and test parts, in their order."""
    cifar10 = torchvision_loader("CIFAR10")
    with laid_out(tails, _FOLDER, (*_BATCHES, "batches.meta")) as root:
        train, test = (cifar10(root, train=part) for part in (True, False))

    def part(name: str, data: npt.NDArray[np.uint8], labels: list[int]) -> Part:
        pictures = tuple(f"{name}/{i:05d}.png" for i in range(len(data)))
        return Part(pictures, one_hot(np.asarray(labels), len(CLASSES)), _Pixels(data))

    return part("train", train.data, train.targets), part("test", test.data, test.targets)


@dataclass(frozen=True)
class _Pixels:
    """Reader of pictures uint8 (N, 32, 32, 3) as PNG files."""

    pictures: npt.NDArray[np.uint8]

    def __call__(self, index: int) -> bytes:
        file = io.BytesIO()
        picture = np.ascontiguousarray(self.pictures[index])
        Image.fromarray(picture).save(file, "PNG", compress_level=1)
        return file.getvalue()


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
