"""Oxford Flower-102 (Nilsback and Zisserman, 2008): the official split of 102 flowers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError
from dsah_train.data.official import OfficialSet, Tails, listed_part, load_mat
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source

__all__ = ["FLOWERS102"]


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    tails = Tails(source)
    try:
        labels = load_mat(tails, "imagelabels.mat")["labels"].ravel().astype(np.int64)
        split = load_mat(tails, "setid.mat")
        ids = {name: split[name].ravel().astype(np.int64) for name in ("trnid", "valid", "tstid")}
    except KeyError as error:
        raise DataError(f"{source.path}: imagelabels.mat or setid.mat lacks {error}") from None
    count = int(labels.max())

    def part(numbers: npt.NDArray[np.int64]) -> Part:
        if numbers.min(initial=1) < 1 or numbers.max(initial=1) > len(labels):
            raise DataError(
                f"{source.path}: setid.mat names pictures outside 1 to {len(labels)}, which is how "
                "many imagelabels.mat labels"
            )
        wanted = [f"image_{number:05d}.jpg" for number in numbers]
        targets = one_hot(labels[numbers - 1] - 1, count)
        return listed_part(tails, wanted, targets, what="setid.mat")

    train = part(np.sort(np.concatenate([ids["trnid"], ids["valid"]])))
    return Dataset(
        name="flowers102",
        # The archive numbers its classes; it does not name them.
        class_names=tuple(f"{number:03d}" for number in range(1, count + 1)),
        train=train,
        query=part(np.sort(ids["tstid"])),
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
    detect=lambda tails: tails.has("imagelabels.mat", "setid.mat"),
    load=_load,
)
