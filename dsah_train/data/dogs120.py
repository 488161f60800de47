"""Stanford Dogs-120 (Khosla et al., 2011): the official train and test lists."""

from __future__ import annotations

import numpy as np

from dsah_infer.errors import DataError
from dsah_train.data.official import OfficialSet, Tails, listed_part, load_mat
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source

__all__ = ["DOGS120", "LEAK_NOTE"]

#: Belongs beside every figure measured on this set with a pretrained backbone.
LEAK_NOTE = (
    "Stanford Dogs is drawn from ImageNet: a backbone with ImageNet weights has seen its pictures, "
    "test pictures among them"
)


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails = Tails(source)
    files = {name: _listed(tails, f"{name}_list.mat") for name in ("train", "test")}
    # A folder is called n02085620-Chihuahua; its WordNet number sorts as the official labels do.
    folders = sorted({file.split("/", 1)[0] for names in files.values() for file in names})
    classes = tuple(folder.split("-", 1)[-1] for folder in folders)
    order = {folder: index for index, folder in enumerate(folders)}

    def part(name: str) -> Part:
        labels = np.array([order[file.split("/", 1)[0]] for file in files[name]])
        return listed_part(tails, files[name], one_hot(labels, len(classes)), what=f"{name}_list")

    train = part("train")
    return Dataset(
        name="dogs120",
        class_names=classes,
        train=train,
        query=part("test"),
        gallery=train,
        protocol=protocol,
        split_seed=split_seed,
        multi_label=False,
        note=LEAK_NOTE,
    )


def _listed(tails: Tails, name: str) -> list[str]:
    """Paths of an official list: a column of cells with one text each."""
    try:
        files = [str(row[0][0]) for row in load_mat(tails, name)["file_list"]]
    except (KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"{tails.source.path}: {name} is not the published list ({error!r})"
        ) from error
    if not files:
        raise DataError(f"{tails.source.path}: {name} names no pictures")
    return files


DOGS120 = OfficialSet(
    name="dogs120",
    protocols={
        "official": "12,000 train = gallery (100 per class), 8,580 query, as listed; the protocol "
        "of the DSaH paper"
    },
    published="http://vision.stanford.edu/aditya86/ImageNetDogs/",
    files="images.tar and lists.tar",
    archives=("images.tar", "lists.tar"),
    detect=lambda tails: tails.has("train_list.mat", "test_list.mat"),
    load=_load,
)
