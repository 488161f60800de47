"""Manifests: a CSV or JSON-lines file that names pictures, their labels and perhaps their part.

CSV has a header with ``path``, ``label`` (several separated by ``|``) and perhaps ``split``.
JSON lines hold one object per line: ``path``, ``label`` (text) or ``labels`` (list of texts), and
perhaps ``split``. ``split`` is ``train``, ``query`` or ``gallery``; without a gallery the training
pictures are searched; without any split a quarter of each class is drawn as queries. Paths are
relative to the manifest's folder.
"""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsah_infer.errors import DataError
from dsah_train.data.records import Dataset, Part
from dsah_train.data.splits import draw_query

__all__ = ["MANIFEST_SUFFIXES", "read_manifest"]

MANIFEST_SUFFIXES = (".csv", ".jsonl", ".ndjson")
PARTS = ("train", "query", "gallery")


@dataclass(frozen=True)
class Row:
    """One picture of a manifest, and the line that names it."""

    path: str
    labels: tuple[str, ...]
    split: str
    line: int


def read_manifest(path: Path, *, split_seed: int = 0) -> Dataset:
    """Read a manifest; pictures must exist, but are not opened.

    Raises:
        DataError: Missing or empty file, an unreadable line, an unknown split, a missing picture,
            a picture without label, or one that is both a query and searched.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such manifest")
    try:
        rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable manifest ({error})") from error
    if not rows:
        raise DataError(f"{path}: the manifest names no pictures")
    _check(path, rows)
    classes = tuple(sorted({label for row in rows for label in row.labels}))
    protocol = "manifest"
    if any(row.split for row in rows):
        parts = {name: _part(path, rows, classes, name) for name in PARTS}
        train, query = parts["train"], parts["query"]
        gallery = parts["gallery"] if len(parts["gallery"]) else train
        _warn_of_classes(path, parts, classes)
    else:
        train, query = draw_query(_part(path, rows, classes, ""), classes, seed=split_seed)
        gallery, protocol = train, "manifest-drawn"
    return Dataset(
        name=path.stem,
        class_names=classes,
        train=train,
        query=query,
        gallery=gallery,
        protocol=protocol,
        split_seed=split_seed,
        multi_label=any(len(row.labels) > 1 for row in rows),
        drawn=protocol == "manifest-drawn",
    )


def _csv_rows(path: Path) -> list[Row]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if not {"path", "label"} <= columns:
            raise DataError(
                f"{path}: columns {sorted(columns)}; the header needs path and label, and may "
                "have split"
            )
        return [
            _row(
                path,
                reader.line_num,
                row["path"],
                (row["label"] or "").split("|"),
                row.get("split"),
            )
            for row in reader
        ]


def _json_rows(path: Path) -> list[Row]:
    rows = []
    # Lines end at line feeds alone: JSON texts may hold what else `splitlines` breaks at.
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise DataError(f"{path}, line {number}: expected an object with path and label")
        labels = entry.get("labels", entry.get("label"))
        labels = [labels] if isinstance(labels, str) else labels
        rows.append(_row(path, number, entry.get("path"), labels, entry.get("split")))
    return rows


def _row(path: Path, line: int, name: Any, labels: Any, split: Any) -> Row:
    good = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    kept = tuple(dict.fromkeys(label.strip() for label in labels if label.strip())) if good else ()
    if not isinstance(name, str) or not name or not kept:
        raise DataError(f"{path}, line {line}: needs a path and at least one label of text")
    split = (split or "").strip() if isinstance(split, str) or split is None else str(split)
    if split and split not in PARTS:
        raise DataError(f"{path}, line {line}: split {split!r}, allowed: {', '.join(PARTS)}")
    return Row(name, kept, split, line)


def _check(path: Path, rows: list[Row]) -> None:
    without = [row.line for row in rows if not row.split]
    if without and len(without) < len(rows):
        raise DataError(f"{path}, line {without[0]}: no split, while other lines have one")
    parts: dict[str, set[str]] = {}
    for row in rows:
        if not (path.parent / row.path).is_file():
            raise DataError(f"{path}, line {row.line}: there is no picture {row.path!r}")
        known = parts.setdefault(row.path, set())
        if row.split in known or ("query" in {*known, row.split} and known):
            raise DataError(
                f"{path}, line {row.line}: {row.path!r} is listed again; a picture may be in train "
                "and gallery, but a query in nothing else"
            )
        known.add(row.split)


def _warn_of_classes(path: Path, parts: dict[str, Part], classes: tuple[str, ...]) -> None:
    """Name classes that are asked for and never trained on: open-set data, or a mistake."""
    known, asked = (parts[name].targets.any(axis=0) for name in ("train", "query"))
    if (unknown := np.flatnonzero(asked & ~known)).size:
        warnings.warn(
            f"{path}: queries of classes {[classes[i] for i in unknown]}, which have no training "
            "pictures; protocol open-set:CLASS,... reports such queries apart",
            stacklevel=3,
        )


def _part(path: Path, rows: list[Row], classes: tuple[str, ...], split: str) -> Part:
    chosen = [row for row in rows if row.split == split]
    order = {label: index for index, label in enumerate(classes)}
    targets = np.zeros((len(chosen), len(classes)), dtype=np.uint8)
    for i, row in enumerate(chosen):
        targets[i, [order[label] for label in row.labels]] = 1
    names = tuple(row.path for row in chosen)
    return Part(names, targets, _Files(path.parent, names))


@dataclass(frozen=True)
class _Files:
    """Reader of files below a folder, without listing the folder."""

    folder: Path
    names: tuple[str, ...]

    def __call__(self, index: int) -> bytes:
        return (self.folder / self.names[index]).read_bytes()
