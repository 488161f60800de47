"""What a data set is: pictures that are read when asked for, their labels, and three parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError

__all__ = ["Dataset", "Part", "join", "one_hot"]


@dataclass(frozen=True)
class Part:
    """Pictures in a fixed order, with their labels; nothing is decoded or kept in memory.

    Attributes:
        names: Name of each picture, as messages and reports print it (n of them).
        targets: Multi-hot labels, uint8 0/1, shape (n, C); rows of single-label data hold one 1.
        read: ``read(i)`` returns the encoded bytes of picture i. Safe to call from threads and
            after a fork.
        masks: ``masks(i)`` returns the encoded grey picture (white = the region that decides the
            class) of picture i's own size, or None where a data set has no masks.
    """

    names: tuple[str, ...]
    targets: npt.NDArray[np.uint8]
    read: Callable[[int], bytes]
    masks: Callable[[int], bytes] | None = None

    def __post_init__(self) -> None:
        if self.targets.dtype != np.uint8 or self.targets.ndim != 2:
            raise DataError(
                f"targets: got {self.targets.dtype} {self.targets.shape}, expected uint8 (n, C)"
            )
        if len(self.names) != len(self.targets):
            raise DataError(f"{len(self.names)} names for {len(self.targets)} rows of targets")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Index of each picture's first class, int64 (n,): its class, where there is only one."""
        first: npt.NDArray[np.int64] = self.targets.argmax(axis=1)
        return first

    def subset(self, indices: npt.NDArray[np.integer] | Sequence[int]) -> Part:
        """The pictures at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Part(
            names=tuple(self.names[i] for i in chosen),
            targets=self.targets[chosen],
            read=_Picked(self.read, chosen),
            masks=None if self.masks is None else _Picked(self.masks, chosen),
        )


@dataclass(frozen=True)
class Dataset:
    """A data set under one protocol: which pictures train, which ask, which are searched.

    Attributes:
        name: Short name, for reports.
        class_names: C names, by class index.
        train: Pictures that a model may learn from.
        query: Pictures that are never looked at before the evaluation.
        gallery: Pictures that queries search; equals or contains ``train`` in most protocols.
        protocol: The protocol that made the parts, as `load_dataset` accepts it.
        split_seed: Seed of a drawn split; has no effect where lists or folders fix the parts.
        multi_label: Whether a picture may have several labels.
        seen: Class indices that occur in training; all of them outside the open-set protocol.
        unseen: Class indices held out of training (open-set protocol), else empty.
        duplicates: Queries whose contents occur in train or gallery, each with one such name.
        note: What every figure measured on this data must say beside it; may be empty.
        drawn: Whether ``split_seed`` decides which pictures, or classes, are in which part.
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    query: Part
    gallery: Part
    protocol: str
    split_seed: int
    multi_label: bool
    seen: tuple[int, ...] = ()
    unseen: tuple[int, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    note: str = ""
    drawn: bool = False

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise DataError(
                f"{self.name}: {len(self.class_names)} class ({', '.join(self.class_names)}); "
                "retrieval needs at least two: one folder of pictures per class"
            )
        for name in self.class_names:  # they go into contracts and graphs, which hold UTF-8
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise DataError(f"{self.name}: class name {name!r} is not Unicode text; rename it")
        for part, pictures in self.parts.items():
            if not len(pictures):
                raise DataError(f"{self.name}: the {part} part holds no pictures")
            if pictures.targets.shape[1] != len(self.class_names):
                raise DataError(
                    f"{self.name}: {part} targets have {pictures.targets.shape[1]} columns for "
                    f"{len(self.class_names)} classes"
                )
        if not self.seen and not self.unseen:
            object.__setattr__(self, "seen", tuple(range(len(self.class_names))))

    @property
    def parts(self) -> dict[str, Part]:
        """The three parts by name, in the order train, query, gallery."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}

    def summary(self) -> str:
        """One line: sizes, classes, protocol and seed."""
        sizes = ", ".join(f"{len(part):,} {name}" for name, part in self.parts.items())
        held = f", {len(self.unseen)} of them held out of training" if self.unseen else ""
        return (
            f"{self.name}: {sizes}; {len(self.class_names)} classes{held}; "
            f"protocol {self.protocol}, split seed {self.split_seed}"
        )


def one_hot(labels: Sequence[int] | npt.NDArray[np.integer], classes: int) -> npt.NDArray[np.uint8]:
    """Class indices (n,) to multi-hot rows uint8 (n, classes)."""
    return np.eye(classes, dtype=np.uint8)[np.asarray(labels, dtype=np.int64)]


def join(first: Part, second: Part) -> Part:
    """The pictures of ``first``, then those of ``second``; masks only where both have them."""
    masks = None
    if first.masks is not None and second.masks is not None:
        masks = _Chained(first.masks, len(first), second.masks)
    return Part(
        names=first.names + second.names,
        targets=np.concatenate([first.targets, second.targets]),
        read=_Chained(first.read, len(first), second.read),
        masks=masks,
    )


@dataclass(frozen=True)
class _Chained:
    """Two readers, one after the other."""

    first: Callable[[int], bytes]
    count: int
    second: Callable[[int], bytes]

    def __call__(self, index: int) -> bytes:
        return self.first(index) if index < self.count else self.second(index - self.count)


@dataclass(frozen=True)
class _Picked:
    """A reader seen through a list of indices; a class, since closures cannot be pickled."""

    read: Callable[[int], bytes]
    indices: npt.NDArray[np.int64]

    def __call__(self, index: int) -> bytes:
        return self.read(int(self.indices[index]))
