"""Where files come from: a folder, a zip or a tar, all read in place and listed alike.

An archive from a stranger is input, not a friend: paths that leave it, links, encrypted entries
and entries that unpack to something huge are refused before a byte of them is read. Nothing is
ever extracted to disk.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import threading
import warnings
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from dsah_infer.errors import DataError

__all__ = ["FolderSource", "JoinedSource", "Source", "TarSource", "ZipSource", "open_source"]

T = TypeVar("T")

MAX_ENTRY_BYTES = 256 << 20
#: Deflate reaches 1032:1; photographs stay near 1:1 and flat bitmaps are small.
MAX_RATIO = 200
RATIO_FREE_BYTES = 8 << 20
#: A compressed tar has no random access, so its files are kept in memory.
MAX_TAR_BYTES = 4 << 30


#: What zipfile and the decompressors behind it raise for damaged or strange archives.
_UNREADABLE_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # NotImplementedError among them: a newer format, another compression
)


class Source(ABC):
    """Files by relative POSIX path, sorted; the single root folder of an archive is left out.

    Attributes:
        path: The folder or archive.
        files: Paths of all files.
        bare: Paths of folders in which there is nothing at all.
    """

    path: Path
    files: tuple[str, ...]
    bare: tuple[str, ...] = ()

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Contents of one file; safe from several threads and after a fork."""

    @abstractmethod
    def key(self, name: str) -> Hashable:
        """A cheap value that equal contents share (size, checksum), to rule out most pairs."""


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a folder, a ``.zip`` or a ``.tar`` (also ``.tar.gz``, ``.tgz``, ``.tar.bz2``, ``.xz``).

    Raises:
        DataError: Missing, of another kind, damaged, or with unsafe or oversized entries.
    """
    place = Path(path)
    if place.is_dir():
        return FolderSource(place)
    if not place.exists():
        raise DataError(f"{place}: no such file or folder")
    if zipfile.is_zipfile(place):
        return ZipSource(place)
    if _is_tar(place):
        return TarSource(place)
    raise DataError(f"{place}: neither a folder nor a readable zip or tar archive")


class FolderSource(Source):
    """A folder; links are followed, since the folder is the user's own, each folder once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found, bare, skipped = [], [], []
        # The folders themselves come first: no link takes the place of one, or goes round.
        seen = {os.path.realpath(folder) for folder, _, _ in os.walk(path)}
        root = Path(os.path.realpath(path))
        for folder, below, names in os.walk(path, followlinks=True, onerror=_refuse):
            real = os.path.realpath(folder)
            if real != os.path.normpath(root / Path(folder).relative_to(path)):
                if real in seen:
                    skipped.append(folder)
                    below.clear()
                    continue
                seen.add(real)
            below[:] = sorted(name for name in below if not name.startswith("."))
            inside = Path(folder).relative_to(path)
            found += [(inside / name).as_posix() for name in names]
            if not below and not names and folder != str(path):
                bare.append(inside.as_posix())
        if skipped:
            warnings.warn(
                f"{path}: links to folders that are read anyway are left out: {', '.join(skipped)}",
                stacklevel=3,
            )
        self.files = tuple(sorted(filter(_visible, found)))
        self.bare = tuple(sorted(bare))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def key(self, name: str) -> Hashable:
        return (self.path / name).stat().st_size


class ZipSource(Source):
    """A zip archive, read entry by entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._open: tuple[int, zipfile.ZipFile] | None = None
        try:
            infos = [info for info in self._archive().infolist() if not info.is_dir()]
        except _UNREADABLE_ZIP as error:
            raise DataError(f"{path}: not a readable zip archive ({error})") from error
        for info in infos:
            _check_path(path, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DataError(f"{path}: {info.filename!r} is a symbolic link; refused")
            if info.flag_bits & 1:
                raise DataError(f"{path}: {info.filename!r} is encrypted; repack without password")
            _check_size(path, info.filename, info.file_size, info.compress_size)
        self._infos = _strip_root(path, ((info.filename, info) for info in infos))
        self.files = tuple(sorted(self._infos))

    def _archive(self) -> zipfile.ZipFile:
        # A forked worker shares the parent's file offset, so each process opens its own.
        with self._lock:
            if self._open is None or self._open[0] != os.getpid():
                self._open = (os.getpid(), zipfile.ZipFile(self.path))
            return self._open[1]

    def read(self, name: str) -> bytes:
        try:
            return self._archive().read(self._infos[name])
        except _UNREADABLE_ZIP as error:
            raise DataError(f"{self.path}: cannot read {name!r} ({error})") from error

    def key(self, name: str) -> Hashable:
        return (self._infos[name].file_size, self._infos[name].CRC)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_lock": None, "_open": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


class TarSource(Source):
    """A tar archive: read in place where it is not compressed, else kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._kept: dict[str, bytes] = {}
        try:
            self._scan()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{path}: not a readable tar archive ({error})") from error
        self.files = tuple(sorted(self._kept or self._places))

    def _scan(self) -> None:
        compressed = not _is_plain_tar(self.path)
        places: list[tuple[str, tuple[int, int]]] = []
        kept: list[tuple[str, bytes]] = []
        total = 0
        with tarfile.open(self.path, "r|*" if compressed else "r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                _check_path(self.path, member.name)
                if not member.isreg():
                    raise DataError(f"{self.path}: {member.name!r} is a link or device; refused")
                _check_size(self.path, member.name, member.size, member.size)
                if not compressed:
                    places.append((member.name, (member.offset_data, member.size)))
                    continue
                total += member.size
                if total > MAX_TAR_BYTES:
                    raise DataError(
                        f"{self.path}: more than {MAX_TAR_BYTES >> 30} GiB in a compressed tar, "
                        "which has no random access; unpack it and give the folder"
                    )
                stream = archive.extractfile(member)
                kept.append((member.name, stream.read() if stream else b""))
        self._places = _strip_root(self.path, places)
        self._kept = _strip_root(self.path, kept)

    def read(self, name: str) -> bytes:
        if self._kept:
            return self._kept[name]
        offset, size = self._places[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def key(self, name: str) -> Hashable:
        return len(self._kept[name]) if self._kept else self._places[name][1]


class JoinedSource(Source):
    """A folder together with archives in it, whose files are named ``<archive>/<path>``."""

    def __init__(self, folder: FolderSource, archives: Sequence[Source]) -> None:
        self.path = folder.path
        self._places: dict[str, tuple[Source, str]] = {
            name: (folder, name) for name in folder.files
        }
        for archive in archives:
            for name in archive.files:
                self._places[f"{archive.path.name}/{name}"] = (archive, name)
        self.files = tuple(sorted(self._places))

    def read(self, name: str) -> bytes:
        source, inside = self._places[name]
        return source.read(inside)

    def key(self, name: str) -> Hashable:
        source, inside = self._places[name]
        # Sizes alone: a checksum that only some of the sources know would part equal files.
        key = source.key(inside)
        return key[0] if isinstance(key, tuple) else key


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except EOFError:  # compressed, and cut off in its first block
        return False


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.ReadError:
        return False


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror})")


def _visible(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _check_path(archive: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or ":" in name[:2]:
        raise DataError(f"{archive}: {name!r} points outside the archive; refused")


def _check_size(archive: Path, name: str, size: int, packed: int) -> None:
    if size > MAX_ENTRY_BYTES:
        raise DataError(
            f"{archive}: {name!r} unpacks to {size:,} bytes, allowed: {MAX_ENTRY_BYTES:,}"
        )
    if size > RATIO_FREE_BYTES and size > MAX_RATIO * max(packed, 1):
        raise DataError(
            f"{archive}: {name!r} unpacks {packed:,} bytes to {size:,}, more than {MAX_RATIO} to 1"
        )


def _strip_root(archive: Path, entries: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Entries by path without the folder that all of them share."""
    found: dict[str, T] = {}
    for name, entry in entries:
        clean = PurePosixPath(name).as_posix()
        if not _visible(clean):
            continue
        if clean in found:
            raise DataError(f"{archive}: {clean!r} occurs twice; refused")
        found[clean] = entry
    roots = {name.split("/", 1)[0] if "/" in name else "" for name in found}
    if (
        len(roots) == 1
        and (root := roots.pop())
        and root not in ("train", "query", "gallery", "test")
    ):
        found = {name[len(root) + 1 :]: entry for name, entry in found.items()}
    return found
