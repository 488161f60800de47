"""Class folders, seeded splits, validation, duplicates and decoding."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsah_infer.contract import PixelRule
from dsah_infer.errors import DataError, PictureError, UsageError
from dsah_infer.preprocess import load_picture
from dsah_train.data import (
    Part,
    carve_validation,
    decode_masks,
    decode_part,
    load_dataset,
    one_hot,
)
from dsah_train.data.records import join
from dsah_train.data.splits import draw_per_class, draw_query
from dsah_train.run_key import run_key
from dsah_train.trained_on import name_digest


def picture(shade: int, size: int = 20, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(shade).integers(0, 256, (size, size + 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def folders(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / name / f"{i:03d}.png").write_bytes(picture(zlib.crc32(name.encode()) + i))
    return root


def test_class_folders_are_split_by_quarters(tmp_path: Path) -> None:
    dataset = load_dataset(folders(tmp_path / "set", {"b": 8, "a": 12, "c": 2}), split_seed=3)
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.protocol == "class-folders"
    assert dataset.split_seed == 3
    assert dataset.query.targets.sum(axis=0).tolist() == [3, 2, 1]
    assert dataset.train.targets.sum(axis=0).tolist() == [9, 6, 1]
    assert dataset.gallery is dataset.train
    assert not set(dataset.train.names) & set(dataset.query.names)
    assert dataset.duplicates == ()
    assert dataset.seen == (0, 1, 2)
    for part in (dataset.train, dataset.query):
        assert list(part.names) == sorted(part.names)
        assert [name[0] for name in part.names] == ["abc"[label] for label in part.labels]


def test_the_split_is_a_function_of_the_seed(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 40, "b": 40})
    first, again, other = (load_dataset(root, split_seed=seed).query.names for seed in (0, 0, 1))
    assert first == again != other
    assert load_dataset(root).drawn


def test_another_class_does_not_reshuffle_the_others(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 40, "b": 40})
    before = set(load_dataset(root).query.names)
    folders(root, {"z": 20})
    after = {name for name in load_dataset(root).query.names if not name.startswith("z")}
    assert before == after


def test_given_parts_are_taken_as_they_are(tmp_path: Path) -> None:
    parts = {"train/a": 3, "train/b": 2, "query/a": 1, "query/b": 2, "gallery/b": 4}
    dataset = load_dataset(folders(tmp_path / "set", parts))
    assert dataset.protocol == "folders"
    assert not dataset.drawn
    assert [len(part) for part in dataset.parts.values()] == [5, 3, 4]
    assert dataset.gallery.labels.tolist() == [1, 1, 1, 1]
    assert dataset.query.names[0] == "query/a/000.png"


def test_gallery_may_be_absent_and_test_stands_for_query(tmp_path: Path) -> None:
    dataset = load_dataset(folders(tmp_path / "set", {"train/a": 3, "train/b": 2, "test/a": 1}))
    assert dataset.gallery is dataset.train
    assert dataset.query.names == ("test/a/000.png",)


def test_a_zip_reads_like_its_folder(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 8, "b": 8})
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, Path("any root") / file.relative_to(root))
    folder, packed = load_dataset(root), load_dataset(tmp_path / "set.zip")
    assert folder.query.names == packed.query.names
    rule = PixelRule(size=16)
    pixels = decode_part(folder.train, rule, progress=False)
    assert np.array_equal(pixels, decode_part(packed.train, rule, progress=False))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "no pictures"),
        ({"only": 5}, "at least two"),
        ({"a": 4, "b": 1}, r"\['b'\] have fewer than 2"),
        ({"train/a": 2, "train/b": 2}, "no query/ folder"),
        ({"query/a": 2, "query/b": 2}, "no train/ folder"),
        ({"train/a": 2, "train/b": 2, "query/c": 2}, r"\['c'\] of query/ have no training"),
        ({"train/a": 2, "train/b": 2, "query/a": 2, "val/a": 1}, r"\['val'\] beside train/"),
        ({"train/a": 2, "query/a": 2}, "at least two"),
        ({"train/a": 2, "train/b": 1, "query": 1}, "in no class folder"),
    ],
)
def test_unusable_folders_say_what_to_do(
    counts: dict[str, int], message: str, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match=message):
        load_dataset(folders(tmp_path / "set", counts))


def test_a_zip_of_one_class_folder_says_what_is_missing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "roses.zip", "w") as archive:
        for i in range(3):
            archive.writestr(f"roses/{i}.png", picture(i))
    with pytest.raises(DataError, match=r"lie in one folder.*two or more class folders"):
        load_dataset(tmp_path / "roses.zip")


def test_a_missing_folder_and_an_empty_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(tmp_path / "nowhere")
    root = folders(tmp_path / "set", {"a": 4, "b": 4})
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"\['empty'\].*hold no pictures"):
        load_dataset(root)


def test_queries_that_are_searched_too_are_reported(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"train/a": 3, "train/b": 3, "query/a": 2, "gallery/b": 2})
    same = picture(77)
    for name in ("train/a/x.png", "gallery/b/y.png", "query/a/z.png"):
        (root / name).write_bytes(same)
    # Same length, other contents: ruled out by the hash alone.
    (root / "train/b/x.png").write_bytes(same[:-1] + bytes([same[-1] ^ 1]))
    with pytest.warns(UserWarning, match="1 queries also occur"):
        dataset = load_dataset(root)
    assert dataset.duplicates == (("query/a/z.png", "gallery/b/y.png"),)


@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    per_class=st.integers(1, 15),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_validation_is_disjoint_and_keeps_every_class(
    sizes: list[int], per_class: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple(map(str, range(len(labels))))
    part = Part(names, one_hot(labels, len(sizes)), lambda i: names[i].encode())
    rest, validation = carve_validation(part, per_class, seed)
    assert sorted(rest.names + validation.names, key=int) == list(names)
    expected = [min(per_class, size // 2) for size in sizes]
    assert validation.targets.sum(axis=0).tolist() == expected
    assert all(rest.read(i) == name.encode() for i, name in enumerate(rest.names))
    assert carve_validation(part, per_class, seed)[1].names == validation.names


def test_validation_refuses_what_it_cannot_do() -> None:
    part = Part(("a", "b"), one_hot([0, 1], 2), lambda i: b"")
    with pytest.raises(DataError, match="no class has two"):
        carve_validation(part)
    with pytest.raises(UsageError, match="per_class = 0"):
        carve_validation(part, 0)


def test_rare_concepts_draw_first() -> None:
    # 100 pictures of the common class, 3 of them of the rare one too.
    targets = np.zeros((100, 2), dtype=np.uint8)
    targets[:, 0] = 1
    targets[[5, 50, 95], 1] = 1
    for seed in range(20):
        drawn = draw_per_class(targets, [97, 3], seed=seed)
        assert len(drawn) == 100
        assert draw_per_class(targets, [10, 3], seed=seed).size == 13


@given(
    rows=st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=12, max_size=60),
    per_class=st.integers(1, 15),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_every_class_keeps_pictures_to_train_on_whatever_its_labels_share(
    rows: list[set[int]], per_class: int, seed: int
) -> None:
    targets = np.zeros((len(rows), 5), dtype=np.uint8)
    for row, labels in zip(targets, rows, strict=True):
        row[list(labels)] = 1
    part = Part(tuple(map(str, range(len(rows)))), targets, lambda i: b"")
    sizes = targets.sum(axis=0)
    if (sizes >= 2).any():
        try:
            rest, validation = carve_validation(part, per_class, seed)
        except DataError:  # then it must be so: each picture has a label of its own
            assert all((sizes[row.astype(bool)] == 1).any() for row in targets)
        else:
            assert len(validation)
            assert (rest.targets.any(axis=0) == (sizes > 0)).all()
    if (sizes >= 2).all():
        rest, query = draw_query(part, "abcde", seed=seed)
        assert rest.targets.any(axis=0).all()
        assert len(rest) + len(query) == len(rows)


def test_two_labels_of_the_same_two_pictures_stay_trainable() -> None:
    targets = np.array([[1, 1], [1, 1]], dtype=np.uint8)
    part = Part(("p", "q"), targets, lambda i: b"")
    for seed in range(10):
        rest, query = draw_query(part, "xy", seed=seed)
        assert (len(rest), len(query)) == (1, 1)


def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 4, "b": 4})
    try:
        (root / "a" / "000.png").rename(root / "a" / os.fsdecode(b"\xff.png"))
    except OSError:
        pytest.skip("this file system has no such names")
    dataset = load_dataset(root)
    assert run_key(dataset, None, None) != run_key(load_dataset(root, split_seed=1), None, None)
    assert len({name_digest(name) for name in dataset.train.names}) == len(dataset.train)
    (root / "b").rename(root / os.fsdecode(b"\xff"))
    with pytest.raises(DataError, match="not Unicode"):
        load_dataset(root)


def test_linked_folders_are_classes_and_go_round_once(tmp_path: Path) -> None:
    folders(tmp_path / "elsewhere", {"b": 4})
    root = folders(tmp_path / "set", {"a": 4})
    (root / "b").symlink_to(tmp_path / "elsewhere" / "b", target_is_directory=True)
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "0 first").symlink_to(root / "a", target_is_directory=True)  # sorts before it
    with pytest.warns(UserWarning, match="links to folders that are read anyway are left out: "):
        dataset = load_dataset(root)
    assert dataset.class_names == ("a", "b")
    assert len(dataset.train) + len(dataset.query) == 8


def test_folders_of_other_files_are_named(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 4, "b": 4})
    (root / "c").mkdir()
    (root / "c" / "1.heic").write_bytes(b"x")
    (root / "a" / "notes.txt").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"without pictures are left out: c \(\.heic\)$"):
        assert load_dataset(root).class_names == ("a", "b")


def test_a_dangling_link_has_no_twin_and_is_named_when_decoded(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"a": 4, "b": 4})
    for name in ("a", "b"):
        (root / name / "009.png").symlink_to(tmp_path / "nowhere")
    dataset = load_dataset(root)
    assert not dataset.duplicates
    lost = next(p for p in (dataset.train, dataset.query) if any("009" in n for n in p.names))
    with pytest.raises(PictureError, match=r"009\.png"):
        decode_part(lost, PixelRule(size=8), progress=False)


def test_parts_check_their_shapes_and_join() -> None:
    with pytest.raises(DataError, match="2 names for 3 rows"):
        Part(("a", "b"), one_hot([0, 1, 0], 2), lambda i: b"")
    with pytest.raises(DataError, match="expected uint8"):
        Part(("a",), np.zeros((1, 2)), lambda i: b"")  # type: ignore[arg-type]
    first = Part(("a", "b"), one_hot([0, 1], 2), lambda i: b"ab"[i : i + 1])
    second = Part(("c",), one_hot([1], 2), lambda i: b"c")
    both = join(first, second).subset([2, 0])
    assert both.names == ("c", "a")
    assert [both.read(i) for i in range(2)] == [b"c", b"a"]
    assert both.labels.tolist() == [1, 0]


def test_decoding_follows_the_pixel_rule_in_order(tmp_path: Path) -> None:
    dataset = load_dataset(folders(tmp_path / "set", {"a": 20, "b": 20}))
    rule = PixelRule(size=16, crop=0.8)
    pixels = decode_part(dataset.train, rule, progress=False)
    assert pixels.shape == (30, 16, 16, 3)
    assert pixels.dtype == np.uint8
    for index in (0, 7, 29):
        assert np.array_equal(pixels[index], load_picture(dataset.train.read(index), rule))


def test_a_corrupt_picture_is_named_or_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folders(tmp_path / "set", {"train/a": 4, "train/b": 4, "query/a": 1, "query/b": 1})
    (root / "train/a/002.png").write_bytes(picture(5)[:40])
    (root / "train/b/001.png").write_bytes(b"text")
    train = load_dataset(root).train
    rule = PixelRule(size=8)
    with pytest.raises(PictureError, match=r"train/a/002\.png") as raised:
        decode_part(train, rule, progress=False)
    assert raised.value.name == "train/a/002.png"
    pixels, kept = decode_part(train, rule, on_error="skip", progress=False)
    assert kept.tolist() == [0, 1, 3, 4, 6, 7]
    assert np.array_equal(pixels[2], load_picture(train.read(3), rule))
    printed = capsys.readouterr()
    assert "train/a/002.png" in printed.out + printed.err
    with pytest.raises(DataError, match="all 2 pictures are corrupt"):
        decode_part(train.subset([2, 5]), rule, on_error="skip", progress=False)
    with pytest.raises(UsageError, match="on_error"):
        decode_part(train, rule, on_error="ignore")  # type: ignore[call-overload]


def test_masks_follow_their_pictures(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", {"train/a": 1, "train/b": 1, "query/a": 1})
    with pytest.raises(DataError, match="no masks"):
        decode_masks(load_dataset(root).train, PixelRule(size=8))
    for part, name in (("train", "a"), ("train", "b"), ("query", "a")):
        mask = np.zeros((20, 24), dtype=np.uint8)
        mask[:, :12] = 255
        (root / "masks" / part / name).mkdir(parents=True)
        Image.fromarray(mask).save(root / "masks" / part / name / "000.png")
    dataset = load_dataset(root)
    masks = decode_masks(dataset.train, PixelRule(size=8, crop=1.0))
    assert masks.shape == (2, 8, 8)
    assert masks[0].tolist() == [[1] * 4 + [0] * 4] * 8
    assert dataset.query.masks is not None
    assert len(dataset.train.subset([1]).names) == len(
        decode_masks(dataset.train.subset([1]), PixelRule(size=8))
    )

    (root / "masks/train/b/000.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"mask of train/b/000\.png"):
        decode_masks(dataset.train, PixelRule(size=8))
    kept = decode_masks(dataset.train, PixelRule(size=8), on_error="skip")
    assert [bool(mask.any()) for mask in kept] == [True, False]


def test_data_needs_neither_torch_nor_scipy() -> None:
    code = "import sys, dsah_train.data; print({'torch', 'scipy'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
