"""One entry for all data: a path (and perhaps a protocol) becomes a `Dataset`."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path

from dsah_infer.errors import DataError
from dsah_train.data.classfolders import class_folders
from dsah_train.data.duplicates import find_duplicates
from dsah_train.data.embedded import parse_spec
from dsah_train.data.manifests import MANIFEST_SUFFIXES, read_manifest
from dsah_train.data.official import Tails
from dsah_train.data.openset import hold_out
from dsah_train.data.protocols import OFFICIAL_SETS, find_set, split_open_set
from dsah_train.data.records import Dataset
from dsah_train.data.sources import Source, open_source

__all__ = ["load_dataset"]

Key = Callable[[str], Hashable]

FOLDER_PROTOCOLS = ("folders", "class-folders")


def load_dataset(
    path: str | os.PathLike[str], *, split_seed: int = 0, protocol: str | None = None
) -> Dataset:
    """Open a data set; pictures are read when asked for.

    Pictures that are both among the queries and among train or gallery, by their contents, are
    listed in `Dataset.duplicates` and warned of.

    Args:
        path: Folder, zip or tar of class folders or of an official set; a CSV or JSON-lines
            manifest; or ``embedded:marks?...`` (`EmbeddedMarks`).
        split_seed: Seed of whatever the protocol draws.
        protocol: Name of a protocol (`dsah_train.data.protocols`); None or empty finds it from
            what lies at ``path``. `Dataset.protocol` says which was used.

    Raises:
        DataError: Missing, empty, unsafe, one-class or otherwise unusable data.
        UsageError: An unknown protocol.
    """
    held, base = split_open_set(protocol)
    key: Key | None = None
    if str(path).startswith("embedded:"):
        dataset = parse_spec(str(path), seed=split_seed).dataset()
    elif Path(path).suffix.lower() in MANIFEST_SUFFIXES:
        dataset = read_manifest(Path(path), split_seed=split_seed)
    else:
        dataset, key = _open(Path(path), split_seed, base)
    _check_protocol(dataset, base)
    if held is not None:
        dataset = hold_out(dataset, held, seed=split_seed)
    if not str(path).startswith("embedded:"):
        dataset = _with_duplicates(dataset, key)
    return dataset


def _open(path: Path, split_seed: int, base: str | None) -> tuple[Dataset, Key | None]:
    """A folder or archive: the official set that was asked for or is recognised, else classes."""
    if base and base not in FOLDER_PROTOCOLS:
        known = find_set(base)
        protocol = known.protocol(base.partition(":")[2])
        if not path.exists():
            raise known.missing(path, "no such file or folder")
        source = known.open(path)
        if not known.detect(Tails(source)):
            raise known.missing(path, f"the files of {known.name} are not there")
        return _keyed(source, known.load(source, protocol, split_seed))
    if not path.exists():
        for known in OFFICIAL_SETS.values():
            if known.name in path.name.lower().replace("-", "").replace("_", ""):
                raise known.missing(path, "no such file or folder")
    plain = open_source(path)
    for known in () if base else OFFICIAL_SETS.values():
        packed = path.is_dir() and not set(known.archives).isdisjoint(plain.files)
        source = known.open(path) if packed else plain
        if known.detect(Tails(source)):
            return _keyed(source, known.load(source, known.protocol(""), split_seed))
    return _keyed(plain, class_folders(plain, split_seed=split_seed))


def _keyed(source: Source, dataset: Dataset) -> tuple[Dataset, Key | None]:
    """The source's cheap keys, where pictures are files of it and not rows of one."""
    return dataset, source.key if dataset.query.names[0] in source.files else None


def _check_protocol(dataset: Dataset, base: str | None) -> None:
    """Refuse a protocol that the data did not turn out to have."""
    if base and not dataset.protocol.startswith(base.partition(":")[0]):
        raise DataError(
            f"{dataset.name}: protocol {base} was asked for, the data is of {dataset.protocol}; "
            "leave the protocol out, or give data of that kind"
        )


def _with_duplicates(dataset: Dataset, key: Key | None) -> Dataset:
    duplicates = find_duplicates(dataset, key)
    if duplicates:
        warnings.warn(
            f"{dataset.name}: {len(duplicates)} queries also occur in train or gallery, such as "
            f"{duplicates[0][0]}, which equals {duplicates[0][1]}",
            stacklevel=3,
        )
    return dataclasses.replace(dataset, duplicates=duplicates)
