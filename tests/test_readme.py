"""What the README shows works, as it is written there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsah_infer.cli import main
from tests.infer.tiny_model import write_tiny_model

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README speaks of; the working directory."""
    rng = np.random.default_rng(0)
    for name in [f"pictures/kind{i % 3}/{i}.jpg" for i in range(9)] + ["more/new.jpg"]:
        pixels = np.kron(rng.integers(0, 256, (4, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    shutil.copy(tmp_path / "pictures/kind1/4.jpg", tmp_path / "query.jpg")
    write_tiny_model(tmp_path / "model.onnx", 48)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_quickstart_runs(shop: Path) -> None:
    block = re.search(r"<!-- quickstart -->\s*```python\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None, "README.md has no python block after <!-- quickstart -->"
    assert len(block[1].strip().splitlines()) <= 20
    # -P, so that the checkout does not hide what is installed, and the cwd does not matter.
    done = subprocess.run(
        [sys.executable, "-P", "-c", block[1]], cwd=shop, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 6, "five hits and the size of the gallery"
    first = sorted((shop / "pictures").rglob("*.jpg"))[0].relative_to(shop)
    assert lines[0] == f"0 {first}"
    assert lines[-1] == "9 pictures, 48 bits each"


def test_the_dsah_commands_run(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("dsah ")]
    assert {line.split()[1] for line in lines} >= {"index", "search", "add"}
    for line in lines:
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert "pictures/kind1/4.jpg" in capsys.readouterr().out
    assert (shop / "result.html").stat().st_size > 10_000


def test_the_page_on_searching_runs(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (README.parent / "docs" / "search.md").read_text()
    shell, *scripts = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (shop / "pictures/old").mkdir()
    shutil.copy(shop / "query.jpg", shop / "pictures/old/1.jpg")
    for line in shell.splitlines():
        assert main(shlex.split(line, comments=True)[1:]) == 0, line
    assert "1 removed, 9 pictures now" in capsys.readouterr().out
    assert len(scripts) == 2
    for script in scripts:
        done = subprocess.run(
            [sys.executable, "-P", "-c", script],
            cwd=shop,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_links_and_pictures_of_this_repository_exist() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT)
    missing = [t for t in targets if not (README.parent / t).exists()]
    assert not missing
