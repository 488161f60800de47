"""CUB-200-2011 (Wah et al., 2011): the official train and test split of 200 birds."""

from __future__ import annotations

import numpy as np

from dsah_infer.errors import DataError
from dsah_train.data.official import OfficialSet, Tails, listed_part
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source

__all__ = ["CUB200"]

LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails = Tails(source)
    images, labels, split, names = (_table(tails, name) for name in LISTS)
    if not images.keys() == labels.keys() == split.keys():
        raise DataError(f"{source.path}: {', '.join(LISTS[:3])} do not number the same pictures")
    class_ids = sorted(names, key=int)
    order = {number: index for index, number in enumerate(class_ids)}
    if strange := sorted(set(labels.values()) - set(order)):
        raise DataError(f"{source.path}: classes.txt does not name the classes {strange[:5]}")
    if strange := sorted(set(split.values()) - {"0", "1"}):
        raise DataError(f"{source.path}: train_test_split.txt holds {strange[:5]}, allowed: 0, 1")

    def part(flag: str) -> Part:
        ids = [number for number in images if split[number] == flag]
        targets = one_hot(np.array([order[labels[i]] for i in ids], dtype=int), len(class_ids))
        return listed_part(tails, [images[i] for i in ids], targets, what="images.txt")

    train = part("1")
    return Dataset(
        name="cub200",
        # "001.Black_footed_Albatross"
        class_names=tuple(names[number].split(".", 1)[-1] for number in class_ids),
        train=train,
        query=part("0"),
        gallery=train,
        protocol=protocol,
        split_seed=split_seed,
        multi_label=False,
    )


def _table(tails: Tails, name: str) -> dict[str, str]:
    """A list file, one ``<number> <value>`` per line, in the order of the file."""
    rows = [line.split(maxsplit=1) for line in tails.text(name)]
    if not rows or any(len(row) != 2 or not row[0].isdecimal() for row in rows):
        raise DataError(f"{tails.source.path}: {name} is not lines of '<number> <value>'")
    return {number: value.strip() for number, value in rows}


CUB200 = OfficialSet(
    name="cub200",
    protocols={"official": "5,994 train = gallery, 5,794 query, as train_test_split.txt says"},
    published="https://data.caltech.edu/records/65de6-vp158",
    files="CUB_200_2011.tgz",
    archives=("CUB_200_2011.tgz",),
    detect=lambda tails: tails.has(*LISTS),
    load=_load,
)
