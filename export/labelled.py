"""Decoded queries and gallery of a data set, and what codes of them are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract, PixelRule
from dsah_infer.index import HammingIndex
from dsah_train.checkpoint import Checkpoint
from dsah_train.data import Dataset, Part, decode_part, load_dataset
from dsah_train.encode import Codes
from dsah_train.metrics import mean_average_precision

__all__ = ["Labelled", "load_calibration", "load_labelled", "map_of", "top10_agreement"]


@dataclass(frozen=True)
class Labelled:
    """Pictures of one split, queries first.

    Attributes:
        images: uint8 (q + g, S, S, 3).
        queries: q.
        query_targets: Multi-hot, uint8 (q, C).
        gallery_targets: Multi-hot, uint8 (g, C).
        summary: Data set, split and how much of it, in one line.
    """

    images: npt.NDArray[np.uint8]
    queries: int
    query_targets: npt.NDArray[np.uint8]
    gallery_targets: npt.NDArray[np.uint8]
    summary: str


def load_labelled(path: str, checkpoint: Checkpoint, *, pictures: int = 2000) -> Labelled:
    """Decode the queries and the gallery of the checkpoint's own split.

    Args:
        path: What `load_dataset` takes.
        checkpoint: Its split seed, protocol and pixel rule are used.
        pictures: Most pictures; of more, both parts are thinned evenly.

    Raises:
        DataError: Unusable data, or every picture of a part is unreadable.
    """
    dataset = _dataset(path, checkpoint)
    total = len(dataset.query) + len(dataset.gallery)
    query, gallery = (_thinned(p, total, pictures) for p in (dataset.query, dataset.gallery))
    rule = checkpoint.contract.pixels
    (asked, query), (kept, gallery) = (_readable(part, rule) for part in (query, gallery))
    images = np.concatenate([asked, kept])
    summary = f"{dataset.summary()}; compared on {len(query)} queries, {len(gallery)} gallery"
    return Labelled(images, len(query), query.targets, gallery.targets, summary)


def load_calibration(
    path: str, checkpoint: Checkpoint, *, pictures: int = 128
) -> npt.NDArray[np.uint8]:
    """Decode at most that many pictures of the train part, evenly taken: uint8 (n, S, S, 3).

    Unreadable ones are named and left out, as in training.
    """
    train = _dataset(path, checkpoint).train
    return _readable(_thinned(train, len(train), pictures), checkpoint.contract.pixels)[0]


def _readable(part: Part, rule: PixelRule) -> tuple[npt.NDArray[np.uint8], Part]:
    """The readable pictures of a part, decoded, and the part without the others."""
    images, kept = decode_part(part, rule, on_error="skip")
    return images, part.subset(kept)


def _dataset(path: str, checkpoint: Checkpoint) -> Dataset:
    config = checkpoint.config
    return load_dataset(path, split_seed=config.split_seed, protocol=config.protocol or None)


def _thinned(part: Part, total: int, pictures: int) -> Part:
    if total <= pictures:
        return part
    keep = max(1, len(part) * pictures // total)
    return part.subset(np.linspace(0, len(part) - 1, keep).round().astype(np.int64))


def map_of(queries: Codes, gallery: Codes, data: Labelled, contract: CodeContract) -> float:
    """MAP@all of one run's query codes against another's (or its own) gallery codes."""
    return mean_average_precision(
        queries.codes[: data.queries],
        data.query_targets,
        gallery.codes[data.queries :],
        data.gallery_targets,
        bits=contract.bits,
        symbol_bits=contract.symbol_bits,
    )


def top10_agreement(ours: Codes, theirs: Codes, queries: int, contract: CodeContract) -> float:
    """Mean share of a query's ten nearest that two runs, each on its own gallery, have in common.

    Ties are broken by id in both, so equal codes give exactly 1.
    """
    found = []
    for run in (ours, theirs):
        index = HammingIndex(contract.bits, symbol_bits=contract.symbol_bits)
        index.add(run.codes[queries:])
        found.append(index.search(run.codes[:queries], min(10, len(index)))[1])
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*found, strict=True)]
    return float(np.mean(shared)) / found[0].shape[1]
