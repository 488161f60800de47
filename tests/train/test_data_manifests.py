"""Manifests in CSV and JSON lines, and the open-set protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsah_infer.errors import DataError, UsageError
from dsah_train.data import load_dataset
from dsah_train.data.openset import held_classes

ROWS = [
    ("p/1.jpg", ["cat"], "train"),
    ("p/2.jpg", ["dog", "cat"], "train"),
    ("p/3.jpg", ["bird"], "train"),
    ("p/4.jpg", ["cat"], "query"),
    ("p/5.jpg", ["bird", "dog"], "query"),
    ("p/1.jpg", ["cat"], "gallery"),
    ("p/6.jpg", ["dog"], "gallery"),
]


def pictures(folder: Path) -> None:
    (folder / "p").mkdir(exist_ok=True)
    for number in range(1, 21):
        (folder / f"p/{number}.jpg").write_bytes(f"picture {number}".encode())


def write(folder: Path, kind: str, rows: list[tuple[str, list[str], str]]) -> Path:
    pictures(folder)
    path = folder / f"list.{kind}"
    if kind == "csv":
        lines = ["label,split,path"] + [f"{'|'.join(ls)},{split},{p}" for p, ls, split in rows]
    else:
        entries = ({"path": p, "labels": ls, "split": split or None} for p, ls, split in rows)
        lines = [json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_both_forms_with_several_labels(kind: str, tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, kind, ROWS))
    assert dataset.protocol == "manifest"
    assert dataset.multi_label
    assert dataset.class_names == ("bird", "cat", "dog")
    assert dataset.train.names == ("p/1.jpg", "p/2.jpg", "p/3.jpg")
    assert dataset.train.targets.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert dataset.query.targets.tolist() == [[0, 1, 0], [1, 0, 1]]
    assert dataset.gallery.names == ("p/1.jpg", "p/6.jpg")
    assert dataset.query.read(1) == b"picture 5"


def test_suffixes_in_capitals_and_lines_as_json_has_them(tmp_path: Path) -> None:
    small = load_dataset(write(tmp_path, "csv", ROWS))
    capital = load_dataset((tmp_path / "list.csv").rename(tmp_path / "list.CSV"))
    assert capital.train.names == small.train.names
    # A line separator inside a text is no end of a line.
    rows = [(path, ["a\u2028b", *labels], split) for path, labels, split in ROWS]
    path = write(tmp_path, "jsonl", rows)
    lines = [json.dumps(json.loads(line), ensure_ascii=False) for line in path.open()]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert load_dataset(path).class_names == ("a\u2028b", "bird", "cat", "dog")


def test_without_gallery_the_training_pictures_are_searched(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "csv", ROWS[:5]))
    assert dataset.gallery is dataset.train


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_without_splits_queries_are_drawn(kind: str, tmp_path: Path) -> None:
    rows = [(f"p/{n}.jpg", ["odd" if n % 2 else "even"], "") for n in range(1, 21)]
    dataset = load_dataset(write(tmp_path, kind, rows), split_seed=1)
    assert dataset.protocol == "manifest-drawn"
    assert dataset.drawn
    assert not dataset.multi_label
    assert dataset.query.targets.sum(axis=0).tolist() == [2, 2]
    assert len(dataset.train) == 16
    again = load_dataset(tmp_path / f"list.{kind}", split_seed=1, protocol="manifest")
    assert again.query.names == dataset.query.names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "names no pictures"),
        ("file,label\np/1.jpg,a\n", r"header needs path and label"),
        ("path,label\np/1.jpg,\n", "line 2: needs a path and at least one label"),
        ("path,label\np/1.jpg,a\np/99.jpg,b\n", r"line 3: there is no picture 'p/99\.jpg'"),
        ("path,label,split\np/1.jpg,a,val\n", "line 2: split 'val', allowed: train, query"),
        ("path,label,split\np/1.jpg,a,train\np/2.jpg,a,\n", "line 3: no split"),
        (
            "path,label,split\np/1.jpg,a,train\np/1.jpg,a,query\n",
            r"line 3: 'p/1\.jpg' is listed again",
        ),
        ("path,label\np/1.jpg,a\np/1.jpg,b\n", "listed again"),
        ("path,label,split\np/1.jpg,a,train\np/2.jpg,b,train\n", "query part holds no pictures"),
        ("path,label,split\np/1.jpg,a,train\np/2.jpg,a,query\n", "at least two"),
    ],
)
def test_bad_csv_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"path": "p/1.jpg", "label": "a"}\n{"path": \n', "line 2: not JSON"),
        ("[1, 2]\n", "line 1: expected an object"),
        ('{"path": 3, "label": "a"}\n', "line 1: needs a path"),
        ('{"path": "p/1.jpg", "labels": [1]}\n', "at least one label of text"),
    ],
)
def test_bad_json_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "list.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "list.jsonl")


def test_missing_manifests_and_files_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such manifest"):
        load_dataset(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a readable manifest"):
        load_dataset(tmp_path / "list.csv")


# Open set

SPEC = "embedded:marks?classes=6&train=3&query=2&size=32"


def test_open_set_holds_named_classes_out_of_training() -> None:
    dataset = load_dataset(SPEC, protocol="open-set:bar,plus")
    whole = load_dataset(SPEC)
    names = dataset.class_names
    assert names == whole.class_names
    assert [names[i] for i in dataset.unseen] == ["bar", "plus"]
    assert sorted(dataset.seen + dataset.unseen) == list(range(6))
    assert set(dataset.train.labels) == set(dataset.seen)
    assert dataset.query.names == whole.query.names
    assert dataset.gallery.names == whole.gallery.names
    assert len(dataset.train) == 4 * 3
    assert "2 of them held out" in dataset.summary()
    assert load_dataset(SPEC, protocol=dataset.protocol).train.names == dataset.train.names
    assert not dataset.drawn


@pytest.mark.parametrize(("classes", "held"), [(3, 1), (4, 2), (6, 2), (17, 5)])
def test_an_open_set_has_two_unseen_classes_where_it_can(classes: int, held: int) -> None:
    assert len(held_classes([str(i) for i in range(classes)])) == held


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_classes_that_are_asked_for_and_never_trained_are_named(kind: str, tmp_path: Path) -> None:
    rows = [("1", "a", "train"), ("2", "b", "train"), ("3", "c", "query"), ("4", "a", "query")]
    for name, _, _ in rows:
        (tmp_path / name).write_bytes(name.encode())
    if kind == "csv":
        text = "path,label,split\n" + "".join(",".join(row) + "\n" for row in rows)
    else:
        keys = ("path", "label", "split")
        text = "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)
    (tmp_path / f"m.{kind}").write_text(text)
    with pytest.warns(UserWarning, match=r"queries of classes \['c'\], which have no training"):
        dataset = load_dataset(tmp_path / f"m.{kind}", protocol="open-set:c")
    assert [dataset.class_names[i] for i in dataset.unseen] == ["c"]


def test_open_set_draws_a_count_by_seed() -> None:
    drawn = {load_dataset(SPEC, protocol="open-set:2", split_seed=s).unseen for s in range(12)}
    assert all(len(unseen) == 2 for unseen in drawn)
    assert load_dataset(SPEC, protocol="open-set:2").drawn
    assert not load_dataset(SPEC).drawn
    assert len(drawn) > 3
    assert len(load_dataset(SPEC, protocol="open-set").unseen) == round(0.3 * 6)


def test_open_set_of_several_labels_holds_out_any(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "csv", ROWS), protocol="open-set:dog@manifest")
    assert dataset.train.names == ("p/1.jpg", "p/3.jpg")


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("open-set:dot", r"no classes \['dot'\]; there are arrow"),
        ("open-set:5", "5 of 6 classes held out; allowed: 1 to 4"),
        ("open-set:0", "allowed: 1 to 4"),
    ],
)
def test_open_sets_that_leave_nothing_to_train_on(protocol: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_dataset(SPEC, protocol=protocol)


def test_a_protocol_of_other_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"protocol manifest was asked for"):
        load_dataset(SPEC, protocol="manifest")
