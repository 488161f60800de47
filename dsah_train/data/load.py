"""One entry for all data: a path (and perhaps a protocol) becomes a `Dataset`."""

from __future__ import annotations

import dataclasses
import os
import warnings

from dsah_train.data.classfolders import class_folders
from dsah_train.data.duplicates import find_duplicates
from dsah_train.data.embedded import parse_spec
from dsah_train.data.records import Dataset
from dsah_train.data.sources import open_source

__all__ = ["load_dataset"]


def load_dataset(
    path: str | os.PathLike[str], *, split_seed: int = 0, protocol: str | None = None
) -> Dataset:
    """Open a data set; pictures are read when asked for.

    Args:
        path: Folder, zip or tar of class folders, or ``embedded:marks?...`` (`EmbeddedMarks`).
        split_seed: Seed of whatever the protocol draws.
        protocol: Name of a protocol; None finds it from what lies at ``path``.

    Raises:
        DataError: Missing, empty, unsafe, one-class or otherwise unusable data.
    """
    if str(path).startswith("embedded:"):
        return parse_spec(str(path), seed=split_seed).dataset()
    source = open_source(path)
    dataset = class_folders(source, split_seed=split_seed)
    duplicates = find_duplicates(dataset, source.key)
    if duplicates:
        warnings.warn(
            f"{dataset.name}: {len(duplicates)} query pictures also occur in train or gallery, "
            f"such as {duplicates[0][0]} = {duplicates[0][1]}",
            stacklevel=2,
        )
    return dataclasses.replace(dataset, duplicates=duplicates)
