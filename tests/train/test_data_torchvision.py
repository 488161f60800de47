"""Where torchvision has a loader for an official set, ours reads the same pictures and labels.

Ours reads archives as they were downloaded, unpacked or not, and its pickles cannot run code; so
the loaders are compared rather than shared. The sets are small ones of the official layouts, so
torchvision's comparison of checksums is left out.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsah_infer.contract import PixelRule
from dsah_train.data import decode_part, load_dataset
from dsah_train.data.cifar10 import CLASSES
from dsah_train.torchvision_import import torchvision
from tests.train.test_data_official import batch, content, mat, put, python2


@pytest.fixture(autouse=True)
def _any_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (torchvision.datasets.cifar, torchvision.datasets.flowers102):
        monkeypatch.setattr(module, "check_integrity", lambda *_, **__: True)


def test_cifar10_as_torchvision_reads_it(tmp_path: Path) -> None:
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {name: python2(*batch(i, 2)) for i, name in enumerate(names)}
    files["batches.meta"] = pickle.dumps({"label_names": list(CLASSES)})
    put(tmp_path / "cifar-10-batches-py", files)
    ours = load_dataset(tmp_path, protocol="cifar10:C")
    for train, part in ((True, ours.train), (False, ours.query)):
        theirs = torchvision.datasets.CIFAR10(tmp_path, train=train)
        assert tuple(theirs.classes) == ours.class_names
        assert part.labels.tolist() == theirs.targets
        pixels = decode_part(part, PixelRule(size=32, crop=1.0), progress=False)
        assert np.array_equal(pixels, theirs.data)


def test_flowers102_as_torchvision_reads_it(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 5), 6))
    ids = np.random.default_rng(1).permutation(len(labels)) + 1
    files = {f"jpg/image_{n:05d}.jpg": content(n) for n in ids}
    files |= {
        "imagelabels.mat": mat(labels=labels[None]),
        "setid.mat": mat(trnid=ids[None, :4], valid=ids[None, 4:8], tstid=ids[None, 8:]),
    }
    put(tmp_path / "flowers-102", files)
    ours = load_dataset(tmp_path / "flowers-102")

    def seen_by_torchvision(*splits: str) -> dict[str, tuple[int, Any]]:
        found = {}
        for split in splits:
            theirs = torchvision.datasets.Flowers102(tmp_path, split=split)
            for i, (picture, label) in enumerate(theirs):
                found[theirs._image_files[i].name] = label, picture.getpixel((0, 0))
        return found

    for part, splits in ((ours.train, ("train", "val")), (ours.query, ("test",))):
        pixels = decode_part(part, PixelRule(size=9, crop=1.0), progress=False)
        mine = {
            Path(name).name: (label, tuple(pixels[i, 0, 0].tolist()))
            for i, (name, label) in enumerate(zip(part.names, part.labels.tolist(), strict=True))
        }
        assert mine == seen_by_torchvision(*splits)
