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
    targets: npt.NDArray[np.uint8],
    counts: Sequence[int],
    *,
    seed: int,
    stream: int = 0,
    leave: int = 0,
) -> npt.NDArray[np.int64]:
    """Draw ``counts[c]`` pictures of each class c, no picture twice; indices ascending, int64.

    Rare classes draw first: with several labels per picture, a common concept would otherwise
    use up the few pictures of a rare one.

    Args:
        targets: Multi-hot labels, uint8 (n, C).
        counts: Pictures to draw per class; a class with fewer gives all it has left.
        seed: Seed of the draw.
        stream: Tells apart draws of one seed that serve different ends.
        leave: Pictures of each class that are not drawn, whatever its other pictures' labels are:
            one of several labels is passed over where another of its classes would have fewer.
    """
    taken = np.zeros(len(targets), dtype=bool)
    left = targets.sum(axis=0, dtype=np.int64)
    for index in np.argsort(left, kind="stable"):
        members = np.flatnonzero(targets[:, index].astype(bool) & ~taken)
        order = np.random.default_rng((seed, stream, int(index))).permutation(len(members))
        wanted = counts[index]
        for row in members[order]:
            if not wanted:
                break
            labels = targets[row].astype(bool)
            if (left[labels] > leave).all():
                taken[row] = True
                left[labels] -= 1
                wanted -= 1
    return np.flatnonzero(taken)


def draw_query(part: Part, class_names: Sequence[str], *, seed: int) -> tuple[Part, Part]:
    """Split into (rest, query): a quarter of each class, at least one picture, are queries.

    A class keeps at least one picture to train on; where pictures have several labels, one whose
    pictures all belong to such classes, too, may be left with fewer queries, or none.

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
    return _split(part, draw_per_class(part.targets, counts.tolist(), seed=seed, leave=1))


def carve_validation(part: Part, per_class: int = 10, seed: int = 0) -> tuple[Part, Part]:
    """Split training pictures into (rest, validation), ``per_class`` of each class, seeded.

    A class with fewer than twice as many pictures gives half of them, so that every class with
    two pictures is on both sides. Where pictures have several labels, every class stays in the
    rest, and may be missing from the validation part.

    Raises:
        UsageError: ``per_class`` below 1.
        DataError: No class has two pictures, or each picture has a label of its own.
    """
    if per_class < 1:
        raise UsageError(f"per_class = {per_class}, allowed: 1 or more")
    sizes = part.targets.sum(axis=0, dtype=np.int64)
    counts = np.minimum(per_class, sizes // 2)
    if not counts.any():
        raise DataError("no class has two pictures: nothing can be set aside for validation")
    chosen = draw_per_class(part.targets, counts.tolist(), seed=seed, stream=1, leave=1)
    if not chosen.size:
        raise DataError("every picture is the only one of some label: none can be set aside")
    return _split(part, chosen)


def _split(part: Part, chosen: npt.NDArray[np.int64]) -> tuple[Part, Part]:
    rest = np.setdiff1d(np.arange(len(part)), chosen)
    return part.subset(rest), part.subset(chosen)
