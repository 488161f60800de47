"""examples/demo.py from end to end, as `make demo` runs it, on a handful of drawn pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_leaves_its_pictures(tmp_path: Path) -> None:
    demo = [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path)]
    demo += ["--data", "embedded:marks?classes=2&train=6&query=2&size=64", "--bits", "16"]
    demo += ["--epochs", "2", "--no-select", "--image-size", "64", "--train-size", "64"]
    done = subprocess.run(
        [*demo, "--weights", "none"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (out,) = tmp_path.iterdir()
    maps = {
        name: json.loads((out / name / "evaluation.json").read_text())["evaluation"]["map"]
        for name in ("evaluation", "evaluation-onnx")
    }
    assert maps["evaluation"] == maps["evaluation-onnx"] > 0
    assert f"MAP@all {maps['evaluation']:.4f} by the ONNX file" in done.stdout
    with Image.open(out / "grid.png") as image:
        assert image.width > 200
    assert "data:image" in (out / "result.html").read_text()
    for name in ("model.onnx", "gallery.dsah", "run/curves.png", "evaluation/report.md"):
        assert (out / name).stat().st_size > 500, name
