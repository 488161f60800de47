"""Seeded splits of labelled pictures. Each class draws from its own stream, so adding a class
does not reshuffle the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError, UsageError
from dsah_train.data.records import Part

__all__ = ["QUERY_FRACTION", "carve_validation", "draw_per_class", "draw_query"]

QUERY_FRACTION = 0.25


def draw_per_class(
    targets: npt.NDArray[np.uint8], counts: Sequence[int], *, seed: int, stream: int = 0
) -> npt.NDArray[np.int64]:
    """Draw ``counts[c]`` pictures of each class c, no picture twice; indices ascending, int64.

    Rare classes draw first: with several labels per picture, a common concept would otherwise
    use up the few pictures of a rare one.

    Args:
        targets: Multi-hot labels, uint8 (n, C).
        counts: Pictures to draw per class; a class with fewer gives all it has left.
        seed: Seed of the draw.
        stream: Tells apart draws of one seed that serve different ends.
    """
    taken = np.zeros(len(targets), dtype=bool)
    for index in np.argsort(targets.sum(axis=0, dtype=np.int64), kind="stable"):
        members = np.flatnonzero(targets[:, index].astype(bool) & ~taken)
        order = np.random.default_rng((seed, stream, int(index))).permutation(len(members))
        taken[members[order[: counts[index]]]] = True
    return np.flatnonzero(taken)


def draw_query(part: Part, class_names: Sequence[str], *, seed: int) -> tuple[Part, Part]:
    """Split into (rest, query): a quarter of each class, at least one picture, are queries.

    Raises:
        DataError: A class with fewer than two pictures.
    """
    sizes = part.targets.sum(axis=0, dtype=np.int64)
    if (small := np.flatnonzero(sizes < 2)).size:
        raise DataError(
            f"classes {[class_names[int(i)] for i in small]} have fewer than 2 pictures; each "
            "class needs at least one to train on and one to ask with"
        )
    counts = np.maximum(1, (sizes * QUERY_FRACTION).astype(np.int64))
    return _split(part, draw_per_class(part.targets, counts.tolist(), seed=seed))


def carve_validation(part: Part, per_class: int = 10, seed: int = 0) -> tuple[Part, Part]:
    """Split training pictures into (rest, validation), ``per_class`` of each class, seeded.

    A class with fewer than twice as many pictures gives half of them, so that every class with
    two pictures is on both sides.

    Raises:
        UsageError: ``per_class`` below 1.
        DataError: No class has two pictures.
    """
    if per_class < 1:
        raise UsageError(f"per_class = {per_class}, allowed: 1 or more")
    sizes = part.targets.sum(axis=0, dtype=np.int64)
    counts = np.minimum(per_class, sizes // 2)
    if not counts.any():
        raise DataError("no class has two pictures: nothing can be set aside for validation")
    return _split(part, draw_per_class(part.targets, counts.tolist(), seed=seed, stream=1))


def _split(part: Part, chosen: npt.NDArray[np.int64]) -> tuple[Part, Part]:
    rest = np.setdiff1d(np.arange(len(part)), chosen)
    return part.subset(rest), part.subset(chosen)
