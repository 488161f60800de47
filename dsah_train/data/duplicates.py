"""Pictures that occur both among the queries and among what they are measured against."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable

from dsah_infer.errors import DataError
from dsah_train.data.records import Dataset, Part

__all__ = ["find_duplicates"]

Place = tuple[str, Part, int]


def find_duplicates(
    dataset: Dataset, key: Callable[[str], Hashable] | None = None
) -> tuple[tuple[str, str], ...]:
    """Queries whose bytes occur in train or gallery: (query name, first such name), in query order.

    Pictures that cannot be read have no twins: who decodes them names them.

    Args:
        dataset: The data set to look through.
        key: Cheap value by picture name that equal files share (size, checksum): only pictures
            whose value occurs on both sides are read and hashed. None reads all of them.
    """

    def cheap(name: str) -> Hashable:
        try:
            return key(name) if key else 0
        except OSError:  # a dangling link
            return None

    searched: dict[Hashable, list[Place]] = defaultdict(list)
    known: set[str] = set()
    for part in (dataset.train, dataset.gallery):
        for index, name in enumerate(part.names):
            if name not in known:
                known.add(name)
                searched[cheap(name)].append((name, part, index))
    asked: dict[Hashable, list[Place]] = defaultdict(list)
    for index, name in enumerate(dataset.query.names):
        asked[cheap(name)].append((name, dataset.query, index))
    pairs = []
    for value in (asked.keys() & searched.keys()) - {None}:
        by_digest: dict[bytes, list[str]] = defaultdict(list)
        for place in searched[value]:
            if digest := _digest(place):
                by_digest[digest].append(place[0])
        for place in asked[value]:
            if twins := by_digest.get(_digest(place)):
                pairs.append((place[0], min(twins)))
    order = {name: index for index, name in enumerate(dataset.query.names)}
    return tuple(sorted(pairs, key=lambda pair: order[pair[0]]))


def _digest(place: Place) -> bytes:
    """SHA-256 of a picture's file; empty where it cannot be read."""
    _, part, index = place
    try:
        return hashlib.sha256(part.read(index)).digest()
    except (OSError, DataError):
        return b""
