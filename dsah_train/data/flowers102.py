"""Oxford Flower-102 (Nilsback and Zisserman, 2008): the official split, as torchvision reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsah_train.data.official import OfficialSet, Tails, listed_part
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source
from dsah_train.data.torchvision_sets import laid_out, torchvision_loader

__all__ = ["FLOWERS102"]

_FOLDER = "flowers-102"
_FILES = ("imagelabels.mat", "setid.mat")


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails, flowers = Tails(source), torchvision_loader("Flowers102")
    listed: dict[str, list[tuple[str, int]]] = {}
    with laid_out(tails, _FOLDER, _FILES, empty=["jpg"]) as root:
        for split in ("train", "val", "test"):
            # The photographs stay where they are: the loader is asked for names and labels.
            read = flowers(root, split, loader=Path)
            listed[split] = [(path.name, label) for path, label in read]
    class_names = tuple(flowers.classes)

    def part(*splits: str) -> Part:
        pairs = sorted(pair for split in splits for pair in listed[split])
        names, labels = zip(*pairs, strict=True)
        targets = one_hot(np.array(labels), len(class_names))
        return listed_part(tails, names, targets, what="setid.mat")

    train = part("train", "val")
    return Dataset(
        name="flowers102",
        class_names=class_names,
        train=train,
        query=part("test"),
        gallery=train,
        protocol=protocol,
        split_seed=split_seed,
        multi_label=False,
    )


FLOWERS102 = OfficialSet(
    name="flowers102",
    protocols={"official": "2,040 train = gallery (trnid and valid), 6,149 query (tstid)"},
    published="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    files="102flowers.tgz, imagelabels.mat and setid.mat",
    archives=("102flowers.tgz",),
    detect=lambda tails: tails.has(*_FILES),
    load=_load,
)
