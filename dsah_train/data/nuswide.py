"""NUS-WIDE (Chua et al., 2009), its 21 most frequent concepts, several per picture.

Official files: ``Imagelist.txt`` names 269,648 pictures as ``<folder>\\<file>.jpg``, one per line;
line i of ``Labels_<concept>.txt`` (folder ``AllLabels``) is 1 where picture i shows the concept;
``Flickr.zip`` holds the pictures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError
from dsah_train.data.classfolders import Reader
from dsah_train.data.official import OfficialSet, Tails
from dsah_train.data.records import Dataset, Part
from dsah_train.data.sources import Source
from dsah_train.data.splits import draw_per_class

__all__ = ["NUSWIDE"]

CONCEPTS = (
    "animal",
    "beach",
    "buildings",
    "clouds",
    "flowers",
    "grass",
    "lake",
    "mountain",
    "ocean",
    "person",
    "plants",
    "reflection",
    "road",
    "rocks",
    "sky",
    "snow",
    "sunset",
    "tree",
    "vehicle",
    "water",
    "window",
)
QUERY, TRAIN = 100, 500
_LISTS = ("Imagelist.txt", "ImageList.txt")


def _load(source: Source, protocol: str, split_seed: int) -> Dataset:
    """2,100 query (100 per concept) and 10,500 train (500 per concept) of the pictures with at
    least one of the 21 concepts; the gallery is all of them but the queries."""
    tails = Tails(source)
    listed = next(name for name in _LISTS if tails.has(name))
    images = [line.strip().replace("\\", "/") for line in tails.text(listed)]
    if not images:
        raise DataError(f"{source.path}: {listed} names no pictures")
    targets = np.stack([_column(tails, concept, len(images)) for concept in CONCEPTS], axis=1)
    used = np.flatnonzero(targets.any(axis=1))
    places = [tails.find(images[i]) for i in used]
    there = np.array([place is not None for place in places])
    if not there.any():
        raise DataError(f"{source.path}: none of the {len(used):,} pictures of {listed} is there")
    names = tuple(place for place in places if place is not None)
    union = Part(names, targets[used[there]], Reader(source, names))
    counts = [QUERY] * len(CONCEPTS)
    asked = draw_per_class(union.targets, counts, seed=split_seed)
    rest = np.setdiff1d(np.arange(len(union)), asked)
    among = draw_per_class(union.targets[rest], [TRAIN] * len(CONCEPTS), seed=split_seed, stream=2)
    if len(asked) < QUERY * len(CONCEPTS) or len(among) < TRAIN * len(CONCEPTS):
        raise DataError(
            f"{source.path}: too few pictures: {len(asked):,} queries of {QUERY * len(CONCEPTS):,} "
            f"and {len(among):,} training pictures of {TRAIN * len(CONCEPTS):,} could be drawn"
        )
    lost = int((~there).sum())
    return Dataset(
        name="nuswide",
        class_names=CONCEPTS,
        train=union.subset(rest[among]),
        query=union.subset(asked),
        gallery=union.subset(rest),
        protocol=protocol,
        split_seed=split_seed,
        multi_label=True,
        drawn=True,
        note=f"{lost:,} of {len(used):,} listed NUS-WIDE pictures are missing" if lost else "",
    )


def _column(tails: Tails, concept: str, count: int) -> npt.NDArray[np.uint8]:
    """Labels of one concept, uint8 0/1 (count,)."""
    name = f"Labels_{concept}.txt"
    values = np.array(tails.text(name))
    if len(values) != count or not np.isin(np.char.strip(values), ("0", "1")).all():
        raise DataError(f"{tails.source.path}: {name} is not {count:,} lines of 0 or 1")
    return np.char.strip(values).astype(np.uint8)


NUSWIDE = OfficialSet(
    name="nuswide",
    protocols={"paper": "2,100 query, 10,500 train, gallery = all but the queries, 21 concepts"},
    published="https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html",
    files="ImageList.zip, Groundtruth.zip and Flickr.zip",
    archives=("ImageList.zip", "Groundtruth.zip", "Flickr.zip"),
    detect=lambda tails: any(tails.has(name, "Labels_animal.txt") for name in _LISTS),
    load=_load,
)
