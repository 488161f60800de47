"""Galleries whose sections do not fit their codes, or are not what they should be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dsah_infer import HammingIndex
from dsah_infer.cli import main
from dsah_infer.errors import IndexFileError
from dsah_infer.gallery import Gallery

ITEMS = {"version": 1, "ids": [0, 1, 5], "paths": ["a.jpg", "b.jpg", "c.jpg"]}
MODEL = {"version": 1, "path": "m.onnx", "space": "s", "fingerprint": "f"}


def write(path, items=ITEMS, model=MODEL):
    index = HammingIndex(64)
    index.add(np.zeros((3, 8), np.uint8), [5, 0, 1])
    index.sections = {"items": json.dumps(items).encode(), "model": json.dumps(model).encode()}
    index.save(path)
    return path


@pytest.mark.parametrize("mmap", [False, True])
def test_sections_that_fit_are_read(mmap, tmp_path):
    gallery = Gallery.load(write(tmp_path / "g"), mmap=mmap)
    assert gallery.items == {0: "a.jpg", 1: "b.jpg", 5: "c.jpg"}
    assert gallery.model.path == "m.onnx"
    assert gallery.duplicates(0) == [["a.jpg", "b.jpg", "c.jpg"]]


MISFITS = {
    "other ids": (ITEMS | {"ids": [0, 1, 7]}, MODEL, "no picture of code 5"),
    "an id twice": (ITEMS | {"ids": [0, 1, 1]}, MODEL, "3 codes but the paths of 2"),
    "huge id": (ITEMS | {"ids": [0, 1, 2**70]}, MODEL, "no picture of code 5"),
    "path of a number": (ITEMS, MODEL | {"path": 5}, "path = 5, no text"),
    "no space": (ITEMS, MODEL | {"space": None}, "space = None, no text"),
    "no fingerprint": (ITEMS, {"version": 1, "path": "m", "space": "s"}, "fingerprint = None"),
    "items without version": ({**ITEMS, "version": None}, MODEL, "'items' has no format version"),
    "items in a list": ([], MODEL, "'items' has no format version"),
    "model without version": (ITEMS, {}, "'model' has no format version"),
    "version 0": (ITEMS, MODEL | {"version": 0}, "'model' has no format version"),
    "version 2": (ITEMS, MODEL | {"version": 2}, "format version 2, .* up to 1; upgrade dsah"),
}


@pytest.mark.parametrize(("items", "model", "says"), MISFITS.values(), ids=MISFITS)
def test_sections_that_do_not_fit_are_named_with_their_file(items, model, says, tmp_path, capsys):
    path = write(tmp_path / "misfit.dsah", items, model)
    with pytest.raises(IndexFileError, match=f"misfit.dsah: .*{says}"):
        Gallery.load(path)
    (tmp_path / "q.jpg").touch()
    for arguments in (["dedup", str(path)], ["search", str(path), str(tmp_path / "q.jpg")]):
        assert main(arguments) == 1
        assert "misfit.dsah" in capsys.readouterr().err
