"""Official layouts, on small archives of the same layout made here: layout tested, figures not."""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsah_infer.contract import PixelRule
from dsah_infer.errors import DataError, MissingDependencyError, UsageError
from dsah_train.data import decode_part, load_dataset
from dsah_train.data.cifar10 import CLASSES
from dsah_train.data.dogs120 import LEAK_NOTE
from dsah_train.data.nuswide import CONCEPTS
from dsah_train.data.protocols import OFFICIAL_SETS, describe_protocols
from dsah_train.torchvision_import import torchvision
from tests.train.test_data_sources import write_tar, write_zip

RULE = PixelRule(size=8)


@pytest.fixture
def any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets made here are small, so they lack the checksums that torchvision looks for."""
    for module in (torchvision.datasets.cifar, torchvision.datasets.flowers102):
        monkeypatch.setattr(module, "check_integrity", lambda *_, **__: True)


def content(number: int) -> bytes:
    """A tiny picture whose contents tell its number apart."""
    file = io.BytesIO()
    colour = (number % 251, number // 251 % 251, number // 251**2)
    Image.new("RGB", (9, 9), colour).save(file, "PNG")
    return file.getvalue()


def mat(**arrays: Any) -> bytes:
    scipy_io = pytest.importorskip("scipy.io")
    file = io.BytesIO()
    scipy_io.savemat(file, arrays)
    return file.getvalue()


def cells(names: list[str]) -> np.ndarray:
    column = np.empty((len(names), 1), dtype=object)
    column[:, 0] = names
    return column


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


# CIFAR-10

PER_CLASS = 105  # of each class in each of the six batches


def batch(number: int, count: int = PER_CLASS) -> tuple[np.ndarray, list[int]]:
    """Rows (n, 3072) and labels; few values are random, so that archives of them stay small."""
    rng = np.random.default_rng(number)
    labels = rng.permutation(np.repeat(np.arange(10), count)).tolist()
    rows = np.zeros((len(labels), 3072), dtype=np.uint8)
    rows[:, ::61] = rng.integers(0, 256, rows[:, ::61].shape)
    return rows, labels


def python2(rows: np.ndarray, labels: list[int]) -> bytes:
    """Opcodes as Python 2 with numpy 1 wrote the official batches: texts are byte strings."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    shape = number(rows.shape[0]) + number(rows.shape[1]) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + text(b"|") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
    array += b"\x87R(K\x01" + shape + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
META = {"batches.meta": pickle.dumps({"label_names": list(CLASSES)})}


@pytest.fixture(scope="module")
def cifar_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {name: python2(*batch(i)) for i, name in enumerate(BATCHES)} | META
    files = {f"cifar-10-batches-py/{name}": data for name, data in files.items()}
    folder = tmp_path_factory.mktemp("cifar")
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder / "cifar-10-python.tar.gz"


@pytest.mark.usefixtures("any_checksum")
@pytest.mark.parametrize("variant", ["paper", "A"])
def test_cifar10_draws_from_the_union(cifar_archive: Path, variant: str) -> None:
    dataset = load_dataset(cifar_archive, protocol=f"cifar10:{variant}", split_seed=1)
    total = 6 * 10 * PER_CLASS
    gallery = total - 1000 if variant == "paper" else total - 6000
    assert [len(part) for part in dataset.parts.values()] == [5000, 1000, gallery]
    train, query, searched = (set(part.names) for part in dataset.parts.values())
    assert not query & (train | searched)
    assert (train <= searched) == (variant == "paper")
    assert variant == "paper" or not train & searched
    assert dataset.train.targets.sum(axis=0).tolist() == [500] * 10
    assert dataset.query.targets.sum(axis=0).tolist() == [100] * 10
    # Of the union: pictures of both official parts among the queries.
    assert {name.split("/")[0] for name in query} == {"train", "test"}


@pytest.mark.usefixtures("any_checksum")
def test_cifar10_official_parts_and_pixels(cifar_archive: Path) -> None:
    dataset = load_dataset(cifar_archive.parent, protocol="cifar10:C")
    assert not dataset.drawn
    assert [len(part) for part in dataset.parts.values()] == [5250, 1050, 5250]
    rows, labels = batch(5)
    assert dataset.query.labels.tolist() == labels
    pixels = decode_part(dataset.query.subset([7]), PixelRule(size=32, crop=1.0), progress=False)
    assert np.array_equal(pixels[0], rows[7].reshape(3, 32, 32).transpose(1, 2, 0))


@pytest.mark.usefixtures("any_checksum")
def test_cifar10_as_torchvision_downloads_it(cifar_archive: Path, tmp_path: Path) -> None:
    shutil.copy(cifar_archive, tmp_path)
    with tarfile.open(cifar_archive) as archive:  # it leaves the archive beside its contents
        archive.extractall(tmp_path, filter="data")
    both = load_dataset(tmp_path)
    assert both.protocol == "cifar10:paper"
    assert both.query.names == load_dataset(cifar_archive).query.names


def test_cifar10_without_its_class_names_says_so(tmp_path: Path) -> None:
    files = {name: python2(*batch(0, 2)) for name in BATCHES}
    with pytest.raises(DataError, match=r"there is no batches\.meta"):
        load_dataset(put(tmp_path, files))


@pytest.mark.usefixtures("any_checksum")
def test_cifar10_found_without_naming_it(cifar_archive: Path) -> None:
    assert load_dataset(cifar_archive.parent).protocol == "cifar10:paper"
    assert load_dataset(cifar_archive.parent).drawn


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def test_cifar10_batches_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = dict.fromkeys(BATCHES, pickle.dumps(Evil())) | META
    with pytest.raises(DataError, match=r"checksum of one of data_batch_1, .* download it again"):
        load_dataset(put(tmp_path / "set", files))
    assert not (tmp_path / "pwned").exists()


@pytest.mark.data
def test_cifar10_pictures_of_both_parts(cifar10: Path) -> None:
    dataset = load_dataset(cifar10)
    assert dataset.protocol == "cifar10:paper"
    assert [len(part) for part in dataset.parts.values()] == [5000, 1000, 59000]
    assert not set(dataset.query.names) & set(dataset.gallery.names)


# Oxford Flower-17 and Flower-102

SEVENTEEN = {f"image_{n:04d}.jpg": content(n) for n in range(1, 1361)}


def split_file() -> bytes:
    arrays = {}
    for number in (1, 2, 3):
        order = np.random.default_rng(number).permutation(80)
        numbers = np.arange(17)[:, None] * 80 + order + 1
        arrays[f"trn{number}"] = numbers[:, :40].reshape(1, -1)
        arrays[f"val{number}"] = numbers[:, 40:60].reshape(1, -1)
        arrays[f"tst{number}"] = numbers[:, 60:].reshape(1, -1)
    return mat(**arrays)


def test_flowers17_official_splits(tmp_path: Path) -> None:
    write_tar(tmp_path / "17flowers.tgz", {f"jpg/{k}": v for k, v in SEVENTEEN.items()}, "w:gz")
    put(tmp_path, {"datasplits.mat": split_file()})
    queries = set()
    for protocol, used in (("", "1"), ("flowers17:2", "2"), ("flowers17:3", "3")):
        dataset = load_dataset(tmp_path, protocol=protocol)
        assert dataset.protocol == f"flowers17:{used}"
        assert not dataset.drawn
        assert [len(part) for part in dataset.parts.values()] == [1020, 340, 1020]
        assert not set(dataset.train.names) & set(dataset.query.names)
        assert dataset.train.targets.sum(axis=0).tolist() == [60] * 17
        queries.add(dataset.query.names)
        for name, label in zip(dataset.query.names, dataset.query.labels, strict=True):
            number = int(name[-8:-4])
            expected = ("daffodil", "snowdrop")[(number - 1) // 80] if number <= 160 else None
            assert expected is None or dataset.class_names[label] == expected
    assert len(queries) == 3


def test_flowers17_without_lists_is_drawn(tmp_path: Path) -> None:
    flat = load_dataset(
        write_zip(tmp_path / "17.zip", {f"jpg/{k}": v for k, v in SEVENTEEN.items()})
    )
    assert flat.protocol == "flowers17:seeded"
    assert flat.drawn
    assert flat.query.targets.sum(axis=0).tolist() == [20] * 17
    with pytest.raises(UsageError, match=r"flowers17:2 needs datasplits\.mat"):
        load_dataset(tmp_path / "17.zip", protocol="flowers17:2")


@pytest.mark.data
def test_flowers17_class_folders_draw_the_same_as_flat_pictures(
    flowers17: Path, tmp_path: Path
) -> None:
    named = load_dataset(flowers17, split_seed=4)
    plain = load_dataset(flowers17, split_seed=4, protocol="class-folders")
    flat = load_dataset(write_zip(tmp_path / "17.zip", SEVENTEEN), split_seed=4)
    assert named.class_names == plain.class_names == flat.class_names
    assert named.query.names == plain.query.names
    assert [Path(name).name for name in named.query.names] == list(flat.query.names)
    assert np.array_equal(named.train.targets, flat.train.targets)


@pytest.mark.usefixtures("any_checksum")
def test_flowers102(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(1, 103), 4)
    numbers = np.arange(1, len(labels) + 1).reshape(102, 4)
    files = {f"jpg/image_{n:05d}.jpg": content(n) for n in numbers.ravel()}
    write_tar(tmp_path / "102flowers.tgz", files, "w:gz")
    put(
        tmp_path,
        {
            "imagelabels.mat": mat(labels=labels[None]),
            "setid.mat": mat(
                trnid=numbers[:, 0][None],
                valid=numbers[:, 1][None],
                tstid=numbers[:, 2:].reshape(1, -1),
            ),
        },
    )
    dataset = load_dataset(tmp_path)
    assert dataset.protocol == "flowers102:official"
    assert [len(part) for part in dataset.parts.values()] == [204, 204, 204]
    assert dataset.class_names[0] == "pink primrose"
    assert dataset.query.names[0].endswith("image_00003.jpg")
    assert dataset.query.labels.tolist() == np.repeat(np.arange(102), 2).tolist()
    assert dataset.query.read(0) == content(3)
    put(tmp_path, files)  # torchvision leaves the archive beside the pictures
    assert load_dataset(tmp_path).query.names == tuple(
        f"jpg/image_{n:05d}.jpg" for n in numbers[:, 2:].ravel()
    )


def test_sets_of_torchvision_name_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, {"imagelabels.mat": mat(labels=[[1]]), "setid.mat": mat(trnid=[[1]])})
    monkeypatch.setattr("dsah_train.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="training needs torch and torchvision"):
        load_dataset(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(torchvision.datasets.flowers102, "check_integrity", lambda *_: True)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingDependencyError, match=r"with scipy\.io: pip install '\.\[train"):
        load_dataset(tmp_path)


def test_flowers102_of_other_labels_is_not_taken_for_the_published(tmp_path: Path) -> None:
    put(tmp_path, {"imagelabels.mat": mat(labels=[[1]]), "setid.mat": mat(trnid=[[1]])})
    with pytest.raises(DataError, match=r"checksum of one of imagelabels\.mat, setid\.mat"):
        load_dataset(tmp_path)


# Stanford Dogs-120 and CUB-200


def test_dogs120(tmp_path: Path) -> None:
    folders = ["n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02116738-African_hunting_dog"]
    files = [f"{folder}/{folder[:9]}_{i}.jpg" for folder in folders for i in range(5)]
    train = [f for i, f in enumerate(files) if i % 5 < 3]
    test = [f for i, f in enumerate(files) if i % 5 >= 3]
    write_tar(tmp_path / "images.tar", {f"Images/{f}": content(i) for i, f in enumerate(files)})
    lists = {
        f"{name}_list.mat": mat(file_list=cells(part), labels=np.ones((len(part), 1)))
        for name, part in (("train", train), ("test", test))
    }
    write_tar(tmp_path / "lists.tar", lists)
    dataset = load_dataset(tmp_path, protocol="dogs120")
    assert dataset.protocol == "dogs120:official"
    assert dataset.class_names == ("Chihuahua", "Japanese_spaniel", "African_hunting_dog")
    assert [len(part) for part in dataset.parts.values()] == [9, 6, 9]
    assert dataset.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert dataset.note == LEAK_NOTE
    assert decode_part(dataset.train, RULE, progress=False).shape == (9, 8, 8, 3)
    write_tar(tmp_path / "images.tar", {f"Images/{f}": content(i) for i, f in enumerate(files[1:])})
    with pytest.raises(
        DataError, match="1 of 9 pictures of train_list are missing, such as n02085620"
    ):
        load_dataset(tmp_path)


def test_cub200(tmp_path: Path) -> None:
    birds = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    images = [f"{bird}/{bird[4:]}_{i:04d}.jpg" for bird in birds for i in range(3)]
    files = {f"CUB_200_2011/images/{name}": content(i) for i, name in enumerate(images)}
    lines = {
        "images.txt": [f"{i} {name}" for i, name in enumerate(images, 1)],
        "image_class_labels.txt": [f"{i} {1 + (i > 3)}" for i in range(1, 7)],
        "train_test_split.txt": [f"{i} {int(i % 3 != 0)}" for i in range(1, 7)],
        "classes.txt": [f"{i} {bird}" for i, bird in enumerate(birds, 1)],
    }
    files |= {f"CUB_200_2011/{k}": "\n".join(v).encode() + b"\n" for k, v in lines.items()}
    files["attributes.txt"] = b"1 has_bill_shape::curved\n"
    archive = write_tar(tmp_path / "CUB_200_2011.tgz", files, "w:gz")
    for place in (archive, tmp_path):
        dataset = load_dataset(place)
        assert dataset.protocol == "cub200:official"
        assert dataset.class_names == ("Black_footed_Albatross", "Laysan_Albatross")
        assert [len(part) for part in dataset.parts.values()] == [4, 2, 4]
        assert dataset.query.labels.tolist() == [0, 1]
        assert dataset.query.read(0) == content(2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("image_class_labels.txt", "1 1\n2 3\n", r"does not name the classes \['3'\]"),
        ("classes.txt", "\n", "classes.txt is not lines"),
        ("classes.txt", "\u00b2 a\n2 b\n", "classes.txt is not lines"),
        ("train_test_split.txt", "1 1\n2 2\n", r"holds \['2'\], allowed: 0, 1"),
        ("train_test_split.txt", "1 1\n", "do not number the same"),
    ],
)
def test_strange_cub200_lists_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    lists = {
        "images.txt": "1 a/1.jpg\n2 b/1.jpg\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "train_test_split.txt": "1 1\n2 0\n",
        "classes.txt": "1 001.a\n2 002.b\n",
    }
    files = {k: v.encode() for k, v in (lists | {name: text}).items()}
    files |= {"images/a/1.jpg": content(1), "images/b/1.jpg": content(2)}
    with pytest.raises(DataError, match=message):
        load_dataset(put(tmp_path, files))


@pytest.mark.parametrize(
    "arrays",
    [{"other": np.ones(3)}, {"file_list": np.ones((3, 1))}, {"file_list": cells(["", "a/b.jpg"])}],
    ids=["absent", "numbers", "empty"],
)
def test_strange_dogs120_lists_are_named(arrays: dict[str, Any], tmp_path: Path) -> None:
    files = {f"{name}_list.mat": mat(**arrays) for name in ("train", "test")}
    with pytest.raises(DataError, match=r"train_list\.mat is not the published list"):
        load_dataset(put(tmp_path, files))


def test_empty_nuswide_lists_are_named(tmp_path: Path) -> None:
    files = {f"Labels_{concept}.txt": b"" for concept in CONCEPTS}
    with pytest.raises(DataError, match="names no pictures"):
        load_dataset(put(tmp_path, files | {"Imagelist.txt": b"\n"}))


# NUS-WIDE


def test_nuswide(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 21 * 800
    targets = np.zeros((count + 50, 21), dtype=int)  # the last 50 show none of the 21 concepts
    targets[np.arange(count), np.arange(count) % 21] = 1
    targets[:count] |= rng.random((count, 21)) < 0.05
    images = [f"tag{i % 7}\\{i:04d}_{i * 31}.jpg" for i in range(len(targets))]
    lists = {"ImageList/Imagelist.txt": "\r\n".join(images).encode() + b"\r\n"}
    truth = {
        f"Groundtruth/AllLabels/Labels_{concept}.txt": ("\n".join(map(str, column)) + "\n").encode()
        for concept, column in zip(CONCEPTS, targets.T, strict=True)
    }
    truth["Groundtruth/TrainTestLabels/Labels_animal_Train.txt"] = b"1\n"
    write_zip(tmp_path / "ImageList.zip", lists)
    write_zip(tmp_path / "Groundtruth.zip", truth)
    lost = {5, 11}
    pictures = {
        "Flickr/" + name.replace("\\", "/"): str(i).encode()
        for i, name in enumerate(images)
        if i not in lost
    }
    with zipfile.ZipFile(tmp_path / "Flickr.zip", "w", zipfile.ZIP_STORED) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    dataset = load_dataset(tmp_path)
    assert dataset.protocol == "nuswide:paper"
    assert dataset.drawn
    assert dataset.multi_label
    assert dataset.class_names == CONCEPTS
    sizes = [len(part) for part in dataset.parts.values()]
    assert sizes == [10500, 2100, count - len(lost) - 2100]
    assert dataset.note.startswith("2 of 16,800 ")
    assert set(dataset.train.names) <= set(dataset.gallery.names)
    assert not set(dataset.query.names) & set(dataset.gallery.names)
    assert (dataset.query.targets.sum(axis=0) >= 100).all()
    assert (dataset.train.targets.sum(axis=0) >= 500).all()
    for index in (0, 1000, 2099):
        number = int(dataset.query.read(index))
        assert dataset.query.targets[index].tolist() == targets[number].tolist()


# What is not there


@pytest.mark.parametrize("name", sorted(OFFICIAL_SETS))
def test_a_missing_set_says_where_it_is_published(name: str, tmp_path: Path) -> None:
    known = OFFICIAL_SETS[name]
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as raised:
            load_dataset(place, protocol=name)
        message = str(raised.value)
        assert known.published in message
        assert all(archive in message for archive in known.archives)


@pytest.mark.parametrize(
    ("place", "name"),
    [("flowers17.zip", "flowers17"), ("CUB-200/", "cub200"), ("nus_wide", "nuswide")],
)
def test_a_missing_path_that_names_a_set_says_so_too(place: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder") as raised:
        load_dataset(tmp_path / place)
    assert OFFICIAL_SETS[name].published in str(raised.value)
    with pytest.raises(DataError, match="no such file or folder") as raised:
        load_dataset(tmp_path / "pictures")
    assert "published" not in str(raised.value)


def test_unknown_protocols_name_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="allowed: folders, class-folders, manifest, cifar10"):
        load_dataset(tmp_path, protocol="imagenet")
    with pytest.raises(UsageError, match="allowed: cifar10:paper, cifar10:A, cifar10:C"):
        load_dataset(tmp_path, protocol="cifar10:Z")
    assert re.search(r"cifar10:A +1,000 query", describe_protocols())
