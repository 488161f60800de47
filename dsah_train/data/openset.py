"""The open-set protocol: some classes are held out of training, and asked for all the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dsah_infer.errors import UsageError
from dsah_train.data.records import Dataset

__all__ = ["HELD_FRACTION", "are_named", "held_classes", "hold_out"]

#: Share of the classes held out where no number is given: 5 of the 17 flowers; two or more where
#: two are left, since a gallery of one unseen class has nothing else to find in it.
HELD_FRACTION = 0.3


def hold_out(dataset: Dataset, which: str = "", *, seed: int = 0) -> Dataset:
    """Remove classes from the training part; queries and gallery keep all classes.

    The gallery becomes all that could be searched before, training pictures of the held-out
    classes among it. Class indices do not change, so ``train`` has no pictures of ``unseen``.
    The four-way report compares queries of `Dataset.seen` and `Dataset.unseen` classes, each on
    the pictures of seen classes and on the whole gallery. A picture with several labels is held
    out when any of them is.

    Args:
        dataset: A closed-set data set.
        which: Comma-separated class names, or a count drawn with ``seed``, or empty for
            `HELD_FRACTION` of the classes.
        seed: Seed of the draw.

    Raises:
        UsageError: An unknown class, or fewer than two classes left to train on.
    """
    names = dataset.class_names
    unseen = held_classes(names, which, seed=seed)
    if not 1 <= len(unseen) <= len(names) - 2:
        raise UsageError(
            f"open-set: {len(unseen)} of {len(names)} classes held out; allowed: 1 to "
            f"{len(names) - 2}, since two must remain to train on"
        )
    keep = ~dataset.train.targets[:, unseen].any(axis=1)
    return dataclasses.replace(
        dataset,
        train=dataset.train.subset(np.flatnonzero(keep)),
        protocol=f"open-set:{','.join(names[i] for i in unseen)}@{dataset.protocol}",
        seen=tuple(i for i in range(len(names)) if i not in unseen),
        unseen=tuple(unseen),
        drawn=dataset.drawn or not are_named(which),
    )


def held_classes(class_names: Sequence[str], which: str = "", *, seed: int = 0) -> list[int]:
    """Indices of the classes that `hold_out` holds out, ascending.

    Args:
        class_names: All classes of the data set.
        which: As for `hold_out`.
        seed: Seed of the draw.

    Raises:
        UsageError: An unknown class.
    """
    if are_named(which):
        wanted = [name.strip() for name in which.split(",") if name.strip()]
        unknown = sorted(set(wanted) - set(class_names))
        if unknown:
            raise UsageError(f"open-set: no classes {unknown}; there are {', '.join(class_names)}")
        return sorted({class_names.index(name) for name in wanted})
    usual = max(2 if len(class_names) > 3 else 1, round(HELD_FRACTION * len(class_names)))
    count = int(which) if which else usual
    order = np.random.default_rng((seed, 3)).permutation(len(class_names))
    return sorted(int(index) for index in order[:count])


def are_named(which: str) -> bool:
    """Whether ``which`` of `hold_out` names classes, so that none are drawn."""
    return bool(which) and not (which.isascii() and which.isdigit())
