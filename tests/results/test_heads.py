"""Heads on frozen features: one record per method, from features that are computed once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsah_infer.errors import DsahError
from results import heads
from results.cells import Cell, Heads
from tests.train import tiny

HEADS = Heads(size=40, bits=(8, 16), seeds=(0, 1))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Three classes of eight striped pictures."""
    for i, pixels in enumerate(tiny.pictures(3, 8, 40)):
        path = tmp_path / "set" / "abc"[i // 8] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return str(tmp_path / "set")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "load_weights", lambda *_: None)
    monkeypatch.setattr(heads, "EPOCHS", 4)
    monkeypatch.setattr(heads, "RATES", (1e-3, 1e-2))
    monkeypatch.setattr(heads, "LADDER", (1e-2, 1e-3))


def test_a_method_is_measured_at_every_length_and_seed(folder: str, tmp_path: Path) -> None:
    record = heads.measure(Cell("frozen", "csq", {"method": "csq"}), folder, tmp_path, HEADS)
    assert [(run["bits"], run["seed"]) for run in record["runs"]] == [
        (8, 0),
        (8, 1),
        (16, 0),
        (16, 1),
    ]
    tried = record["validation_map"]
    assert record["settings"]["lr"] == float(max(tried, key=lambda rate: tried[rate]))
    assert len(tried) == 2
    # Stripes of another colour are easy even for a trunk of random weights; chance is a third.
    assert np.mean([run["map"] for run in record["runs"]]) > 0.6
    for run in record["runs"]:
        assert abs(run["map"] - run["map_expected"]) < 0.1
        assert run["map_float"] > 0.6
    assert record["commit"]
    assert json.dumps(record)


def test_features_are_computed_once(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("frozen", "float")
    first = heads.measure(cell, folder, tmp_path, HEADS)

    def refuse(*_: object, **__: object) -> None:
        raise DsahError("decoded again")

    monkeypatch.setattr(heads, "decode_part", refuse)
    again = heads.measure(cell, folder, tmp_path, HEADS)
    assert again["runs"] == first["runs"]
    assert all(0 < run["map"] <= 1 for run in first["runs"])
