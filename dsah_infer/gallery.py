"""gallery.dsah: an index file that also knows its pictures and its model.

Two named sections of the index file hold JSON: ``items`` (format version, ids and the paths of
their pictures, relative to the gallery's folder, with forward slashes) and ``model`` (path of
the model file, likewise relative, with its code space and fingerprint).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.duplicates import groups_within
from dsah_infer.encoder import Encoder
from dsah_infer.errors import IndexFileError, UsageError
from dsah_infer.index import HammingIndex

__all__ = ["Gallery", "Hit", "ModelReference"]

SECTION_VERSION = 1


@dataclass(frozen=True)
class ModelReference:
    """The model that made a gallery's codes.

    Attributes:
        path: Relative to the gallery's folder.
        space: Its code space.
        fingerprint: The very artefact.
    """

    path: str
    space: str
    fingerprint: str


@dataclass(frozen=True)
class Hit:
    """One search result.

    Attributes:
        distance: Differing symbols (bits, for sign codes).
        id: Id in the index.
        path: The picture, relative to the gallery's folder.
    """

    distance: int
    id: int
    path: str


class Gallery:
    """A `HammingIndex` with the paths of its pictures.

    Attributes:
        path: The file itself where a link was given; paths of pictures are relative to its folder.
        index: The codes.
        items: Id -> relative path of the picture.
        model: The model that made the codes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        index: HammingIndex,
        items: dict[int, str],
        model: ModelReference,
    ) -> None:
        self.path = Path(path)
        while self.path.is_symlink():
            self.path = self.path.parent / self.path.readlink()
        self.index = index
        self.items = items
        self.model = model

    @classmethod
    def new(cls, path: str | os.PathLike[str], encoder: Encoder) -> Gallery:
        """An empty gallery for the codes of ``encoder``, to be saved at ``path``."""
        model = ModelReference(
            _relative(encoder.path, Path(path)), encoder.space, encoder.fingerprint
        )
        return cls(path, encoder.new_index(), {}, model)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Gallery:
        """Read a gallery file.

        Args:
            path: The file.
            mmap: Leave the codes in the file, as `HammingIndex.load` does. They are read once,
                to see that each has its picture.

        Raises:
            OSError: The file cannot be opened.
            IndexFileError: Damaged, an index without pictures, or pictures that are not those of
                its codes.
        """
        index = HammingIndex.load(path, mmap=mmap)
        sections = index.sections
        missing = [name for name in ("items", "model") if name not in sections]
        if missing:
            raise IndexFileError(
                f"{path}: an index file without the sections {', '.join(missing)}: it has codes "
                "but no pictures; 'dsah index' makes galleries, HammingIndex.load reads this file"
            )
        items = _read_items(path, sections["items"])
        model = _read_model(path, sections["model"])
        if len(items) != len(index):
            raise IndexFileError(
                f"{path}: {len(index)} codes but the paths of {len(items)} pictures"
            )
        for _, ids in index.chunks():
            for id_ in ids.tolist():
                if id_ not in items:
                    raise IndexFileError(f"{path}: section 'items' has no picture of code {id_}")
        return cls(path, index, items, model)

    @property
    def model_path(self) -> Path:
        """Where the model file should be."""
        return self.path.parent / self.model.path

    def __len__(self) -> int:
        return len(self.index)

    def put(
        self,
        pictures: Iterable[str | os.PathLike[str]],
        codes: npt.NDArray[np.uint8],
        contract: CodeContract,
        *,
        mix: bool = False,
    ) -> tuple[int, int]:
        """Add pictures with their codes; one that is already in is replaced.

        Args:
            pictures: Paths, n of them; of equal paths the last counts.
            codes: uint8 (n, bytes).
            contract: Of the encoder that made them.
            mix: Accept another artefact of the same space (a student, another precision).

        Returns:
            Numbers of added and of replaced pictures.

        Raises:
            SpaceMismatchError: Codes of another space, or of another artefact without ``mix``.
        """
        rows = {_relative(Path(picture), self.path): row for row, picture in enumerate(pictures)}
        known = {name: id_ for id_, name in self.items.items()}
        replaced = [known[name] for name in rows if name in known]
        first = 1 + max(self.items, default=-1)
        ids = np.arange(first, first + len(rows), dtype=np.int64)
        self.index.add(
            codes[list(rows.values())],
            ids,
            contract=contract,
            other_fingerprint="accept" if mix else "refuse",
        )
        self.items.update(zip(ids.tolist(), rows, strict=True))
        self._drop(replaced)
        return len(rows) - len(replaced), len(replaced)

    def place(self, name: str) -> str:
        """Where a picture of `items` lies: as `path` is given, from the current folder or not."""
        return Path(os.path.normpath(self.path.parent / name)).as_posix()

    def unknown(self, pictures: Iterable[Path]) -> list[Path]:
        """Those of the pictures on disk that the gallery does not have."""
        known = set(self.items.values())
        return [picture for picture in pictures if _relative(picture, self.path) not in known]

    def besides(self, pictures: Iterable[Path]) -> int:
        """How many pictures the gallery has that are none of these on disk."""
        named = {_relative(picture, self.path) for picture in pictures}
        return sum(name not in named for name in self.items.values())

    def check(self, contract: CodeContract, *, mix: bool = False) -> None:
        """Refuse a producer of codes before it has encoded anything; see `search`."""
        nothing = np.empty((0, -(-contract.bits // 8)), np.uint8)
        self.index.search(
            nothing, 1, contract=contract, other_fingerprint="accept" if mix else "refuse"
        )

    def remove(
        self, pictures: Iterable[str | os.PathLike[str]], *, missing_ok: bool = False
    ) -> int:
        """Remove pictures by path; returns how many.

        Args:
            pictures: Their paths as they lie on disk, or else as they are in `items`; that of a
                folder means all pictures below it.
            missing_ok: Pass over what is not in the gallery.

        Raises:
            UsageError: A picture is not in the gallery, or a path is empty; nothing is removed
                then.
        """
        folder = self.path.absolute().parent
        places = {os.path.normpath(folder / name): id_ for id_, name in self.items.items()}
        folders = {above for place in places for above in map(str, Path(place).parents)}
        ids: list[int] = []
        for picture in pictures:
            if not os.fspath(picture):
                raise UsageError("an empty path among the pictures")
            place = os.path.normpath(Path(picture).absolute())
            if place not in places and place not in folders:
                place = os.path.normpath(folder / picture)
            if place in places:
                ids.append(places[place])
            elif place in folders:
                ids += [id_ for other, id_ in places.items() if Path(place) in Path(other).parents]
            elif not missing_ok:
                raise UsageError(
                    f"{os.fspath(picture)} is not in {self.path}; 'dsah info {self.path} --items' "
                    "lists its pictures"
                )
        self._drop(sorted(set(ids)))
        return len(set(ids))

    def search(
        self, codes: npt.NDArray[np.uint8], k: int, contract: CodeContract, *, mix: bool = False
    ) -> list[list[Hit]]:
        """The ``k`` nearest pictures of each code, in order (distance, id).

        Args:
            codes: Queries uint8 (m, bytes).
            k: Hits per query, at least 1.
            contract: Of the encoder that made them.
            mix: Accept another artefact of the same space (a student, another precision).

        Raises:
            SpaceMismatchError: Codes of another space, or of another artefact without ``mix``.
        """
        distances, ids = self.index.search(
            codes, k, contract=contract, other_fingerprint="accept" if mix else "refuse"
        )
        return [
            [
                Hit(distance, id_, self.items[id_])
                for distance, id_ in zip(row, row_ids, strict=True)
                if id_ in self.items
            ]
            for row, row_ids in zip(distances.tolist(), ids.tolist(), strict=True)
        ]

    def duplicates(self, radius: int) -> list[list[str]]:
        """Groups of pictures linked by distances up to ``radius``, by first id; each by id."""
        groups: list[list[Any]] = groups_within(self.index, radius)
        for group in groups:  # in place: there may be millions of lists already
            group[:] = [self.items[id_] for id_ in group]
        return groups

    def save(self) -> None:
        """Write the file; an older one is replaced as a whole or stays as it is."""
        ids = sorted(self.items)
        items = {"version": SECTION_VERSION, "ids": ids, "paths": [self.items[i] for i in ids]}
        model = {"version": SECTION_VERSION, **vars(self.model)}
        self.index.sections["items"] = json.dumps(items).encode()
        self.index.sections["model"] = json.dumps(model).encode()
        self.index.save(self.path)

    def _drop(self, ids: list[int]) -> None:
        self.index.remove(np.array(ids, dtype=np.int64))
        for id_ in ids:
            del self.items[id_]


def _relative(target: Path, gallery: Path) -> str:
    folder = gallery.absolute().parent
    return Path(os.path.relpath(target.absolute(), folder)).as_posix()


def _read_section(path: str | os.PathLike[str], name: str, content: bytes) -> dict[str, Any]:
    try:
        section = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise IndexFileError(f"{path}: section {name!r} is not JSON ({error})") from None
    version = section.get("version") if isinstance(section, dict) else None
    if not isinstance(version, int) or version < 1:
        raise IndexFileError(
            f"{path}: section {name!r} has no format version, dsah did not write it"
        )
    if version > SECTION_VERSION:
        raise IndexFileError(
            f"{path}: section {name!r} has format version {version}, this dsah reads up to "
            f"{SECTION_VERSION}; upgrade dsah"
        )
    return dict(section)


def _read_items(path: str | os.PathLike[str], content: bytes) -> dict[int, str]:
    section = _read_section(path, "items", content)
    ids, paths = section.get("ids"), section.get("paths")
    if not isinstance(ids, list) or not isinstance(paths, list) or len(ids) != len(paths):
        raise IndexFileError(f"{path}: section 'items' has no ids with one path each")
    if not all(isinstance(i, int) for i in ids) or not all(isinstance(p, str) for p in paths):
        raise IndexFileError(f"{path}: section 'items' has an id or path of another type")
    return dict(zip(ids, paths, strict=True))


def _read_model(path: str | os.PathLike[str], content: bytes) -> ModelReference:
    section = _read_section(path, "model", content)
    values: dict[str, Any] = {f.name: section.get(f.name) for f in fields(ModelReference)}
    for name, value in values.items():
        if not isinstance(value, str):
            raise IndexFileError(f"{path}: section 'model' has {name} = {value!r:.80}, no text")
    return ModelReference(**values)
