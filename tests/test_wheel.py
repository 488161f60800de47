"""The wheel, installed with [cpu] into a fresh environment without torch, does the whole job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsah_infer import Encoder
from tests.infer.make_golden import GOLDEN

ROOT = Path(__file__).parents[1]
#: What the wheel is built from, as a source distribution would hold it.
SOURCES = ("csrc", "dsah_infer", "dsah_train", "pyproject.toml", "setup.py")
OPTIONAL = ("README.md", "LICENSE", "NOTICE")

QUICKSTART = """
import json, sys
import numpy as np
import dsah_infer
from dsah_infer import Encoder, HammingIndex

try:
    import torch
except ImportError:
    pass
else:
    sys.exit("torch is installed: this environment proves nothing")
model, *pictures = sys.argv[1:]
with Encoder(model) as encoder:
    codes = encoder.encode(pictures)
    index = encoder.new_index()
    index.add(codes)
    index.save("api.dsah")
    distances, ids = HammingIndex.load("api.dsah").search(codes, 3)
print(json.dumps([dsah_infer.__file__, codes.tolist(), distances.tolist(), ids.tolist()]))
"""


def run(command: list[str | Path], folder: Path) -> str:
    """Output of a command that must succeed, run away from this checkout's modules."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DSAH"))}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of an environment that holds the wheel with [cpu] and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, *OPTIONAL):
        path = ROOT / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "build")
            shutil.copytree(path, source / name, ignore=ignored)
        elif path.exists() or name in SOURCES:
            shutil.copy(path, source / name)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source], folder)
    (wheel,) = folder.glob("dsah-*.whl")
    # Without a pip of its own, which would take longer than the test: this one installs into it.
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run([*pip, "--python", python, "install", "-c", constraints, f"{wheel}[cpu]"], folder)
    return python.parent


def test_the_environment_is_torch_free_and_small(fresh: Path) -> None:
    listed = run([sys.executable, "-m", "pip", "--python", fresh / "python", "list",
                  "--format=json"], fresh)  # fmt: skip
    names = {entry["name"].lower() for entry in json.loads(listed)}
    assert {"dsah", "numpy", "pillow", "tqdm", "onnxruntime"} <= names
    assert not {"torch", "torchvision", "onnx", "scipy", "matplotlib"} & names


def test_the_api_gives_the_same_codes(fresh: Path, tmp_path: Path) -> None:
    pictures = sorted(p for p in GOLDEN.iterdir() if p.suffix in (".jpg", ".png"))
    model = GOLDEN / "model.onnx"
    output = run([fresh / "python", "-c", QUICKSTART, model, *pictures], tmp_path)
    where, codes, distances, ids = json.loads(output)
    assert Path(where).is_relative_to(fresh.parent)
    with Encoder(model) as encoder:
        np.testing.assert_array_equal(np.array(codes, np.uint8), encoder.encode(pictures))
    assert (np.array(distances)[:, 0] == 0).all()
    assert np.array(ids).shape == (len(pictures), 3)


def test_the_command_encodes_indexes_and_searches(fresh: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = np.kron(rng.integers(0, 256, (4, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    shutil.copy(GOLDEN / "model.onnx", tmp_path / "model.onnx")
    dsah = fresh / "dsah"
    run([dsah, "encode", "pictures", "-m", "model.onnx", "-o", "codes.npy"], tmp_path)
    assert np.load(tmp_path / "codes.npy").shape == (12, 6)
    run([dsah, "index", "pictures", "-m", "model.onnx", "-o", "gallery.dsah"], tmp_path)
    found = run([dsah, "search", "gallery.dsah", "pictures/07.png", "-k", "3", "--json",
                 "--html", "result.html"], tmp_path)  # fmt: skip
    hits = json.loads(found.splitlines()[0])["hits"]
    assert hits[0] == {"distance": 0, "id": 7, "path": "pictures/07.png"}
    assert "data:image/jpeg" in (tmp_path / "result.html").read_text()
    assert "gallery" in run([dsah, "info", "gallery.dsah"], tmp_path)
    assert "nothing is wrong" in run([dsah, "doctor", "-m", "model.onnx"], tmp_path)


def test_training_without_torch_says_what_to_install(fresh: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(fresh / "python"), "-m", "dsah_train", "fit", "--data", "x", "--out", "y"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert ".[train]" in done.stderr
    assert "Traceback" not in done.stderr
