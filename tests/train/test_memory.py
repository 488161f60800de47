"""Training pictures that do not fit in memory are refused before the first is decoded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dsah_infer import _core
from dsah_infer.errors import DataError
from dsah_train.config import Config
from dsah_train.data import Part
from dsah_train.fit import fit
from dsah_train.memory import check_memory, picture_bytes
from dsah_train.pictures import decode_pictures
from tests.train import tiny

GB = 10**9


def many(count: int) -> Part:
    """Pictures that nobody may decode."""

    def read(index: int) -> bytes:
        raise AssertionError(f"picture {index} was read")

    names = tuple(map(str, range(count)))
    return Part(names, np.ones((count, 1), np.uint8), read)


def test_bytes_are_those_of_the_arrays() -> None:
    part = tiny.dataset(per_class=4).train
    for crop in (1.0, 0.8):
        settings = tiny.config("dpsh", crop=crop)
        pictures = decode_pictures(part, settings, progress=False)
        arrays = {id(t): t.nbytes for t in (pictures.large, pictures.seen)}
        assert picture_bytes(len(part), settings) == sum(arrays.values())
        parts = pictures.carve(1)
        copies = {id(t): t.nbytes for p in parts for t in (p.large, p.seen)}
        choosing = dataclasses.replace(settings, select=True)
        assert picture_bytes(len(part), choosing) == sum((arrays | copies).values())


def test_too_many_pictures_are_refused_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "available_memory", lambda: 60 * GB)
    with pytest.raises(
        DataError,
        match=r"200,000 training pictures need 60\.2 GB .* image_size = 224 and crop = 1\.0; "
        r"60\.0 GB are available.* --image-size or fewer pictures .*--no-select",
    ):
        decode_pictures(many(200_000), Config(), progress=False)
    check_memory(200_000, Config(select=False))
    check_memory(200_000, Config(image_size=128))


def test_every_process_of_a_machine_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "available_memory", lambda: 60 * GB)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(DataError, match=r"need 60\.2 GB .* by 2 processes; 60\.0 GB .* less$"):
        check_memory(200_000, Config(select=False))


def test_a_run_ends_with_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "available_memory", lambda: 1000)
    with pytest.raises(DataError, match="8 training pictures need"):
        fit(tiny.config("dpsh"), tiny.dataset(), tmp_path, weights="none", device="cpu")
