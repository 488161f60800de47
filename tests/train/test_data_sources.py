"""Folders, zips and tars: read alike, lazily, and refused where they are unsafe."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import pickle
import stat
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsah_infer.errors import DataError
from dsah_train.data import sources
from dsah_train.data.sources import FolderSource, JoinedSource, Source, open_source

FILES = {"root/a/1.jpg": b"one", "root/a/2.jpg": b"two" * 1000, "root/b/1.jpg": b"three"}


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make(kind: str, folder: Path) -> Source:
    if kind == "folder":
        return open_source(write_folder(folder / "f", FILES) / "root")
    if kind == "zip":
        return open_source(write_zip(folder / "f.zip", FILES))
    return open_source(write_tar(folder / f"f.{kind}", FILES, "w:gz" if kind == "tgz" else "w"))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_all_kinds_list_and_read_the_same(kind: str, tmp_path: Path) -> None:
    source = make(kind, tmp_path)
    assert source.files == ("a/1.jpg", "a/2.jpg", "b/1.jpg")
    assert [source.read(name) for name in source.files] == list(FILES.values())
    assert source.key("a/1.jpg") != source.key("a/2.jpg")
    assert pickle.loads(pickle.dumps(source)).read("b/1.jpg") == b"three"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_reading_is_safe_from_threads_and_after_a_fork(kind: str, tmp_path: Path) -> None:
    files = {f"c/{i:03d}": bytes([i]) * (1000 + 37 * i) for i in range(100)}
    writer = write_zip if kind == "zip" else write_tar
    source = open_source(writer(tmp_path / f"x.{kind}", files))
    names = source.files * 5
    with ThreadPoolExecutor(8) as pool:
        for name, data in zip(names, pool.map(source.read, names), strict=True):
            assert data == files[f"c/{name}"]
    fork = multiprocessing.get_context("fork")
    with fork.Pool(2) as workers:
        for name, data in zip(names, workers.map(source.read, names), strict=True):
            assert data == files[f"c/{name}"]


def test_a_root_called_train_is_no_root(tmp_path: Path) -> None:
    source = open_source(write_zip(tmp_path / "x.zip", {"train/a/1.jpg": b"1"}))
    assert source.files == ("train/a/1.jpg",)


def test_hidden_files_and_mac_folders_are_left_out(tmp_path: Path) -> None:
    files = {"a/1.jpg": b"1", "b/2.jpg": b"2", ".DS_Store": b"", "__MACOSX/a/._1.jpg": b""}
    assert open_source(write_zip(tmp_path / "x.zip", files)).files == ("a/1.jpg", "b/2.jpg")
    assert open_source(write_folder(tmp_path / "x", files)).files == ("a/1.jpg", "b/2.jpg")


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/etc/evil.jpg", "a/../../e.jpg", "C:/e.jpg", "a\\e"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_leave_the_archive_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    writer = write_zip if kind == "zip" else write_tar
    with pytest.raises(DataError, match="outside the archive"):
        open_source(writer(tmp_path / f"x.{kind}", {"a/1.jpg": b"1", name: b"2"}))


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("a/link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="symbolic link"):
        open_source(tmp_path / "x.zip")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        link = tarfile.TarInfo("a/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="link or device"):
        open_source(tmp_path / "x.tar")


def test_entries_that_unpack_to_something_huge_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = write_zip(tmp_path / "x.zip", {"a/1.jpg": bytes(9 << 20)})  # about 1000 to 1
    with pytest.raises(DataError, match="more than 200 to 1"):
        open_source(bomb)
    monkeypatch.setattr(sources, "MAX_ENTRY_BYTES", 1000)
    with pytest.raises(DataError, match="allowed: 1,000"):
        open_source(write_zip(tmp_path / "y.zip", {"a/1.jpg": bytes(1001)}))
    with pytest.raises(DataError, match="allowed: 1,000"):
        open_source(write_tar(tmp_path / "y.tar", {"a/1.jpg": bytes(1001)}))
    monkeypatch.setattr(sources, "MAX_TAR_BYTES", 1500)
    with pytest.raises(DataError, match="unpack it"):
        open_source(write_tar(tmp_path / "y.tgz", {"a/1": bytes(900), "a/2": bytes(900)}, "w:gz"))


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/1.jpg", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/1.jpg", b"2")
    with pytest.raises(DataError, match="occurs twice"):
        open_source(tmp_path / "x.zip")


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_source(tmp_path / "missing.zip")
    (tmp_path / "x.zip").write_bytes(b"not a zip at all")
    with pytest.raises(DataError, match="neither a folder nor"):
        open_source(tmp_path / "x.zip")
    whole = write_zip(tmp_path / "y.zip", FILES).read_bytes()
    (tmp_path / "z.zip").write_bytes(whole[: len(whole) - 30])
    with pytest.raises(DataError, match="zip"):
        open_source(tmp_path / "z.zip")


def test_a_damaged_entry_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", FILES)
    data = bytearray(path.read_bytes())
    start = data.index(b"root/a/2.jpg") + len("root/a/2.jpg")
    data[start : start + 6] = b"\xff" * 6
    path.write_bytes(data)
    source = open_source(path)
    assert source.read("a/1.jpg") == b"one"
    with pytest.raises(DataError, match=r"cannot read 'a/2\.jpg'"):
        source.read("a/2.jpg")


@pytest.mark.parametrize(
    "kind",
    [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["flate", "bz2", "lzma"],
)
def test_damage_anywhere_in_an_archive_is_a_named_error(kind: int, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    whole = path.read_bytes()
    for place in range(0, len(whole), 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            source = open_source(path)
            for name in source.files:
                with contextlib.suppress(DataError):
                    source.read(name)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_tars_that_are_cut_off_are_a_named_error(mode: str, tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole", FILES, mode).read_bytes()
    for length in range(0, len(whole), 3):
        (tmp_path / "x.tar").write_bytes(whole[:length])
        with contextlib.suppress(DataError):
            open_source(tmp_path / "x.tar")


def test_a_folder_joined_with_its_archives(tmp_path: Path) -> None:
    folder = FolderSource(write_folder(tmp_path / "f", {"list.txt": b"list"}))
    inner = open_source(write_tar(tmp_path / "images.tar", FILES))
    joined = JoinedSource(folder, [inner])
    assert joined.files == (
        "images.tar/a/1.jpg",
        "images.tar/a/2.jpg",
        "images.tar/b/1.jpg",
        "list.txt",
    )
    assert joined.read("images.tar/b/1.jpg") == b"three"
    assert joined.read("list.txt") == b"list"
