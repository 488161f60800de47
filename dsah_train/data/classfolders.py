"""Class folders: ``<class>/<picture>``, or ``train/ query/ [gallery/]`` each holding such folders.

``test/`` stands for ``query/`` where there is no ``query/``. ``gallery/`` may be absent: the
training pictures are then searched. ``masks/`` may hold, under the same relative path with the
suffix ``.png``, a grey picture that marks the region which decides the class.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

from dsah_infer.errors import DataError
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.sources import Source
from dsah_train.data.splits import draw_query

__all__ = ["PICTURE_SUFFIXES", "Reader", "class_folders", "pictures_by_class"]

PICTURE_SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".avif"]
)
PARTS = ("train", "query", "test", "gallery", "masks")


@dataclass(frozen=True)
class Reader:
    """Reads picture i of a list of files of one source."""

    source: Source
    names: tuple[str, ...]

    def __call__(self, index: int) -> bytes:
        return self.source.read(self.names[index])


def class_folders(source: Source, *, split_seed: int = 0) -> Dataset:
    """Read a source of class folders.

    ``train/ query/ gallery/`` are taken as they are (protocol ``folders``). Otherwise a quarter of
    each class, drawn with ``split_seed``, becomes the queries and the rest trains and is searched
    (protocol ``class-folders``): 60 and 20 of the 80 pictures of a Flower-17 class.

    Raises:
        DataError: No pictures, fewer than two classes, an empty class, or a class too small to
            be split.
    """
    pictures = [name for name in source.files if _is_picture(name)]
    if not pictures:
        raise DataError(
            f"{source.path}: no pictures ({', '.join(sorted(PICTURE_SUFFIXES))}); expected one "
            "folder per class, or train/ and query/ folders of them"
        )
    if source.bare:
        raise DataError(
            f"{source.path}: folders {list(source.bare)} hold no pictures; fill or remove them"
        )
    _warn_of_other_kinds(source, pictures)
    tops = {name.split("/", 1)[0] for name in pictures if "/" in name}
    if not tops:  # the only folder of an archive is no class: its name is the archive's
        raise DataError(
            f"{source.path}: all pictures lie in one folder, which tells no classes apart; "
            "expected <class>/<picture> with two or more class folders"
        )
    if "train" in tops:
        return _given_parts(source, pictures, tops, split_seed)
    if tops & {"query", "gallery"}:
        raise DataError(f"{source.path}: there is {sorted(tops)} but no train/ folder")
    by_class = pictures_by_class(source, pictures)
    classes = tuple(by_class)
    part = _part(source, by_class, classes, masks=False)
    rest, query = draw_query(part, classes, seed=split_seed)
    return Dataset(
        name=source.path.stem,
        class_names=classes,
        train=rest,
        query=query,
        gallery=rest,
        protocol="class-folders",
        split_seed=split_seed,
        multi_label=False,
        drawn=True,
    )


def _warn_of_other_kinds(source: Source, pictures: list[str]) -> None:
    """Name folders that hold files, and none that is a picture by its name: classes get lost so."""
    filled = {str(PurePosixPath(name).parent) for name in pictures}
    empty: dict[str, set[str]] = {}
    for name in source.files:
        path = PurePosixPath(name)
        if (folder := str(path.parent)) not in filled and folder != ".":
            empty.setdefault(folder, set()).add(path.suffix.lower() or "no suffix")
    if empty:
        found = "; ".join(f"{folder} ({', '.join(sorted(empty[folder]))})" for folder in empty)
        warnings.warn(
            f"{source.path}: folders without pictures are left out: {found}", stacklevel=3
        )


def pictures_by_class(
    source: Source, pictures: list[str], prefix: str = ""
) -> dict[str, tuple[str, ...]]:
    """Picture files under ``prefix`` grouped by their class folder, both in sorted order."""
    groups: dict[str, list[str]] = {}
    for name in pictures:
        if not name.startswith(prefix):
            continue
        inside = name[len(prefix) :]
        if "/" not in inside:
            raise DataError(
                f"{source.path}: picture {name!r} lies in no class folder; expected "
                f"{prefix}<class>/<picture>"
            )
        groups.setdefault(inside.rsplit("/", 1)[0], []).append(name)
    return {label: tuple(sorted(groups[label])) for label in sorted(groups)}


def _given_parts(source: Source, pictures: list[str], tops: set[str], split_seed: int) -> Dataset:
    query_folder = "query" if "query" in tops else "test"
    if query_folder not in tops:
        raise DataError(
            f"{source.path}: there is a train/ but no query/ folder with pictures; add query/ "
            "(and gallery/, where it is not the training set), or give plain class folders"
        )
    strange = sorted(tops - set(PARTS)) + (["test"] if tops >= {"query", "test"} else [])
    if strange:
        raise DataError(
            f"{source.path}: folders {strange} beside train/ and {query_folder}/; allowed: train, "
            "query (or test), gallery, masks"
        )
    groups = {
        part: pictures_by_class(source, pictures, f"{folder}/")
        for part, folder in (("train", "train"), ("query", query_folder), ("gallery", "gallery"))
        if folder in tops
    }
    classes = tuple(groups["train"])
    for part, by_class in groups.items():
        unknown = sorted(set(by_class) - set(classes))
        if unknown:
            raise DataError(
                f"{source.path}: classes {unknown} of {part}/ have no training pictures"
            )
    parts = {part: _part(source, by_class, classes) for part, by_class in groups.items()}
    return Dataset(
        name=source.path.stem,
        class_names=classes,
        train=parts["train"],
        query=parts["query"],
        gallery=parts.get("gallery", parts["train"]),
        protocol="folders",
        split_seed=split_seed,
        multi_label=False,
    )


def _part(
    source: Source,
    by_class: dict[str, tuple[str, ...]],
    classes: tuple[str, ...],
    *,
    masks: bool = True,
) -> Part:
    names = tuple(name for group in by_class.values() for name in group)
    labels = [classes.index(label) for label, group in by_class.items() for _ in group]
    mask_names = tuple(f"masks/{PurePosixPath(name).with_suffix('.png')}" for name in names)
    has_masks = masks and bool(names) and set(mask_names) <= set(source.files)
    return Part(
        names=names,
        targets=one_hot(labels, len(classes)),
        read=Reader(source, names),
        masks=Reader(source, mask_names) if has_masks else None,
    )


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
