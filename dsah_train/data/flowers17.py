"""Oxford Flower-17 (Nilsback and Zisserman, 2006): 17 flowers, 80 photographs each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError, UsageError
from dsah_train.data.official import OfficialSet, Tails, listed_part, load_mat
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source
from dsah_train.data.splits import draw_query

__all__ = ["FLOWERS17"]

#: In the order of the picture numbers: class = (number - 1) // 80.
_BY_NUMBER = (
    "daffodil",
    "snowdrop",
    "lily_of_the_valley",
    "bluebell",
    "crocus",
    "iris",
    "tigerlily",
    "tulip",
    "fritillary",
    "sunflower",
    "daisy",
    "coltsfoot",
    "dandelion",
    "cowslip",
    "buttercup",
    "windflower",
    "pansy",
)
_CLASSES = tuple(sorted(_BY_NUMBER))
_NUMBERS = range(1, 17 * 80 + 1)


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    """Splits 1, 2 and 3 come from ``datasplits.mat``; ``seeded`` is drawn, 60 and 20 per class."""
    tails = Tails(source)
    variant = protocol.split(":")[1]
    official = tails.has("datasplits.mat")
    if variant == "official":
        variant = "1" if official else "seeded"
    if variant == "seeded":
        # Sorted by class, then number: the very draw that class folders of these files give.
        train, query = draw_query(_part(tails, _by_class()), _CLASSES, seed=split_seed)
    else:
        if not official:
            raise UsageError(
                f"{source.path}: protocol {protocol} needs datasplits.mat beside the pictures; "
                "without it, flowers17:seeded draws 60 and 20 per class"
            )
        splits = load_mat(tails, "datasplits.mat")
        try:
            trn, val, tst = (splits[f"{name}{variant}"].ravel() for name in ("trn", "val", "tst"))
        except KeyError as error:
            raise DataError(f"{source.path}: datasplits.mat lacks {error}") from None
        train = _part(tails, np.sort(np.concatenate([trn, val]).astype(np.int64)))
        query = _part(tails, np.sort(tst.astype(np.int64)))
    return Dataset(
        name="flowers17",
        class_names=_CLASSES,
        train=train,
        query=query,
        gallery=train,
        protocol=f"flowers17:{variant}",
        split_seed=split_seed,
        multi_label=False,
        drawn=variant == "seeded",
    )


def _by_class() -> npt.NDArray[np.int64]:
    return np.array(sorted(_NUMBERS, key=lambda n: (_BY_NUMBER[(n - 1) // 80], n)))


def _part(tails: Tails, numbers: npt.NDArray[np.int64]) -> Part:
    if numbers.min() < 1 or numbers.max() not in _NUMBERS:
        raise DataError(f"{tails.source.path}: picture numbers outside 1 to {len(_NUMBERS)}")
    labels = [_CLASSES.index(_BY_NUMBER[(int(n) - 1) // 80]) for n in numbers]
    wanted = [f"image_{n:04d}.jpg" for n in numbers]
    return listed_part(tails, wanted, one_hot(labels, len(_CLASSES)), what="Flower-17")


def _detect(tails: Tails) -> bool:
    """Pictures 1 to 1,360, each once, and each class in a folder of its own or all in one."""
    if not tails.has(*(f"image_{n:04d}.jpg" for n in _NUMBERS)):
        return False
    folders = {tails.need(f"image_{n:04d}.jpg").rpartition("/")[0]: (n - 1) // 80 for n in _NUMBERS}
    return len(folders) == 1 or sorted(folders.values()) == list(range(17))


FLOWERS17 = OfficialSet(
    name="flowers17",
    protocols={
        "official": "split 1 of datasplits.mat where it is present, else seeded",
        "1": "1,020 train = gallery (trn1 and val1), 340 query (tst1)",
        "2": "the same with split 2",
        "3": "the same with split 3",
        "seeded": "60 train = gallery (40 and 20 of validation) and 20 query per class, drawn",
    },
    published="https://www.robots.ox.ac.uk/~vgg/data/flowers/17/",
    files="17flowers.tgz and datasplits.mat",
    archives=("17flowers.tgz",),
    detect=_detect,
    load=_load,
)
