"""What the official data sets have in common: how one is found, read and asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import DataError, MissingDependencyError, UsageError, install_hint
from dsah_train.data.classfolders import Reader
from dsah_train.data.records import Part
from dsah_train.data.sources import FolderSource, JoinedSource, Source, open_source

__all__ = ["OfficialSet", "Tails", "listed_part", "load_mat"]


@dataclass(frozen=True)
class OfficialSet:
    """A published data set in its official layout.

    Attributes:
        name: Name before the colon of its protocols, as in ``cifar10:paper``.
        protocols: Names after the colon with what they do; the first is the default.
        published: Where it is published.
        files: What to put in one folder (or what archive to name).
        archives: Official archives that are opened where they lie in that folder.
        detect: Whether files look like this set.
        load: Source, protocol and split seed to the data set.
    """

    name: str
    protocols: dict[str, str]
    published: str
    files: str
    archives: tuple[str, ...]
    detect: Callable[[Tails], bool]
    load: Callable[[Source, str, int], Any]

    def missing(self, path: Path, what: str) -> DataError:
        """The error for data that is not there: where it is published and what to put where."""
        return DataError(
            f"{path}: {what}. {self.name} is published at {self.published}; put {self.files} "
            "there, as downloaded or unpacked"
        )

    def protocol(self, variant: str) -> str:
        """Full name of a protocol; an empty variant means the default.

        Raises:
            UsageError: The set has no such protocol.
        """
        variant = variant or next(iter(self.protocols))
        if variant not in self.protocols:
            allowed = ", ".join(f"{self.name}:{known}" for known in self.protocols)
            raise UsageError(f"protocol {self.name}:{variant} is not known; allowed: {allowed}")
        return f"{self.name}:{variant}"

    def open(self, path: Path) -> Source:
        """The folder joined with the official archives in it, or the archive at ``path``.

        An archive whose files all lie beside it as well, as torchvision's download leaves it, is
        not read twice.
        """
        source = open_source(path)
        if not isinstance(source, FolderSource):
            return source
        there = {PurePosixPath(name).name for name in source.files}
        inside = [open_source(path / name) for name in self.archives if (path / name).is_file()]
        packed = [a for a in inside if not {PurePosixPath(f).name for f in a.files} <= there]
        return JoinedSource(source, packed)


class Tails:
    """Files of a source by the last parts of their paths, however deep the archive put them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._maps: dict[int, dict[str, list[str]]] = {}

    def find(self, tail: str) -> str | None:
        """The file whose path ends in ``tail`` (whole parts), or None.

        Raises:
            DataError: Several files do.
        """
        found = self._all(tail)
        if len(found) > 1:
            raise DataError(f"{self.source.path}: {tail} is there {len(found)} times: {found[:3]}")
        return found[0] if found else None

    def has(self, *tails: str) -> bool:
        """Whether every one of these files is there, once."""
        return all(len(self._all(tail)) == 1 for tail in tails)

    def _all(self, tail: str) -> list[str]:
        depth = tail.count("/") + 1
        if depth not in self._maps:
            known: dict[str, list[str]] = {}
            for name in self.source.files:
                known.setdefault("/".join(name.split("/")[-depth:]), []).append(name)
            self._maps[depth] = known
        return self._maps[depth].get(tail, [])

    def text(self, tail: str) -> list[str]:
        """Lines of a text file, without line ends and empty lines at the end."""
        return self.source.read(self.need(tail)).decode("utf-8", "replace").rstrip().splitlines()

    def need(self, tail: str) -> str:
        """`find`, or `DataError`."""
        name = self.find(tail)
        if name is None:
            raise DataError(f"{self.source.path}: there is no {tail}")
        return name


def load_mat(tails: Tails, name: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a MATLAB file by name.

    Raises:
        MissingDependencyError: scipy is not installed.
        DataError: The file is missing or damaged.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is a MATLAB file, which scipy reads: {install_hint('train')}"
        ) from error
    data = tails.source.read(tails.need(name))
    try:
        arrays: dict[str, npt.NDArray[Any]] = loadmat(io.BytesIO(data))
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise DataError(f"{tails.source.path}: {name} is not a MATLAB file ({error})") from error
    return arrays


def listed_part(
    tails: Tails, wanted: Sequence[str], targets: npt.NDArray[np.uint8], *, what: str
) -> Part:
    """The part that a list names.

    Args:
        tails: Files of the set.
        wanted: Path tails in the order of the list.
        targets: Multi-hot rows, uint8 (n, C).
        what: Name of the list, for messages.

    Raises:
        DataError: A listed picture is missing.
    """
    found = [tails.find(tail) for tail in wanted]
    lost = [tail for tail, name in zip(wanted, found, strict=True) if name is None]
    if lost:
        raise DataError(
            f"{tails.source.path}: {len(lost)} of {len(wanted)} pictures of {what} are missing, "
            f"such as {PurePosixPath(lost[0])}"
        )
    names = tuple(name for name in found if name is not None)
    return Part(names, targets, Reader(tails.source, names))
