"""Tiny real models and pictures for the runtime's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.infer.tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 12-bit model with saliency."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 48-bit model without saliency, of another code space."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "plain.onnx", 48, saliency=False)


@pytest.fixture
def noise() -> npt.NDArray[np.uint8]:
    """Twenty-one pictures (21, 40, 50, 3): two full batches of 8, and a part of one."""
    return np.random.default_rng(3).integers(0, 256, (21, 40, 50, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, noise: npt.NDArray[np.uint8]) -> Path:
    """The same pictures as files ``pictures/00.png`` to ``pictures/20.png``."""
    target = tmp_path / "pictures"
    target.mkdir()
    for i, picture in enumerate(noise):
        Image.fromarray(picture).save(target / f"{i:02}.png")
    return target
