"""Killed and interrupted runs, as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from dsah_train.checkpoint import load_checkpoint
from tests.train import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i, pixels in enumerate(tiny.pictures(2, 8, 32)):
        path = folder / "ab"[i // 8] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def start(pictures: Path, out: Path, epochs: int, *flags: str) -> subprocess.Popen[str]:
    """A run with dropout, whose masks come from the generator that must be resumed too."""
    line = [sys.executable, "-m", "dsah_train", "fit", "--data", str(pictures), "--out", str(out)]
    line += ["--method", "dsah", "--bits", "8", "--image-size", "32", "--train-size", "32"]
    line += ["--epochs", str(epochs), "--no-select", "--weights", "none", "--warm-start", "0"]
    line += ["--dropout", "0.3", "--precision", "fp32", "--device", "cpu", "--quiet", *flags]
    return subprocess.Popen(
        line,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def lines(out: Path) -> int:
    path = out / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.05)


def test_resume_after_kill_is_bit_exact(pictures: Path, tmp_path: Path) -> None:
    whole = start(pictures, tmp_path / "whole", 6)
    _, errors = whole.communicate(timeout=240)
    assert whole.returncode == 0, errors

    killed = start(pictures, tmp_path / "killed", 6)
    wait_for(lambda: lines(tmp_path / "killed") >= 2, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = start(pictures, tmp_path / "killed", 6)
    _, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert "resuming" in errors

    one, two = (load_checkpoint(tmp_path / name / "ckpt.pt") for name in ("whole", "killed"))
    for key, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[key]), key
    assert one.contract.fingerprint == two.contract.fingerprint
    assert lines(tmp_path / "whole") == lines(tmp_path / "killed")


def test_interrupt_leaves_a_usable_checkpoint_and_says_how_to_go_on(
    pictures: Path, tmp_path: Path
) -> None:
    run = start(pictures, tmp_path, 1000)
    wait_for(lambda: lines(tmp_path) >= 1 and (tmp_path / "ckpt.pt").exists(), run)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 130, errors
    assert "resumes" in errors
    assert load_checkpoint(tmp_path / "ckpt.pt").contract.bits == 8
    assert not list(tmp_path.glob(".*"))  # no half-written file
