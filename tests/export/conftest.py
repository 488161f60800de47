"""Exported files that many tests read; each is made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import Checkpoint
from export.onnx_model import serialise
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx
from tests.export.tiny_models import CLASSES, SIZE, ordinal_checkpoint, write_checkpoint

ROOT = Path(__file__).resolve().parents[2]


def run_script(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``python export/<name>.py ...`` as a user calls it, from another folder."""
    command = [sys.executable, str(ROOT / "export" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def move_bias(source: Path, out: Path, by: float) -> Path:
    """A sealed copy of an exported file in which one bias of the hash layer is another."""
    model = onnx.load(source)
    (head,) = (node for node in model.graph.node if "activations" in node.output)
    bias = next(t for t in model.graph.initializer if t.name == head.input[2])
    moved = numpy_helper.to_array(bias).copy()
    moved[3] += by
    bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
    del model.metadata_props[:]
    out.write_bytes(serialise(model, read_model(source).contract))
    return out


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dsah(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    """A DSaH checkpoint on SqueezeNet and, in the same folder, its fp32 ``model.onnx``."""
    folder = tmp_path_factory.mktemp("dsah")
    checkpoint = write_checkpoint(folder / "ckpt.pt")
    export_onnx(checkpoint, folder / "model.onnx")
    return checkpoint, folder


@pytest.fixture(scope="session")
def ordinal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    """A checkpoint with four-valued symbols and its fp32 ``model.onnx``."""
    folder = tmp_path_factory.mktemp("ordinal")
    checkpoint = ordinal_checkpoint(segments=6, arity=4)
    export_onnx(checkpoint, folder / "model.onnx")
    return checkpoint, folder


@pytest.fixture(scope="session")
def int8_recipe() -> Recipe:
    return Recipe("int8", calibration=fixed_pictures(SIZE, 16))


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve pictures, told by their colour."""
    folder = tmp_path_factory.mktemp("pictures")
    shapes = fixed_pictures(80, 36).astype(np.int32)
    for i, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for j in range(12):
            pixels = shapes[i * 12 + j] // 3
            pixels[..., i] += 150
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(folder / name / f"{j:02}.jpg", quality=95)
    return folder
