"""The parity gate as a command, on real picture files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsah_train.checkpoint import Checkpoint
from export.to_onnx import main as to_onnx
from export.verify import main as verify
from tests.export.conftest import run_script
from tests.export.tiny_models import write_checkpoint


@pytest.fixture
def folder(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> Path:
    for name in ("ckpt.pt", "model.onnx"):
        shutil.copy(dsah[1] / name, tmp_path / name)
    return tmp_path


def test_the_report_holds_every_run(folder: Path, picture_folder: Path) -> None:
    arguments = ("model.onnx", "--against", "ckpt.pt", "--data", picture_folder)
    done = run_script("verify", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "parity/parity.json").read_text())
    assert record["passed"]
    (entry,) = record["files"]
    cpu = [run for run in entry["runs"] if run["device"] == "cpu"]
    assert {(r["threads"], r["batch"]) for r in cpu} == {(t, b) for t in (1, 2) for b in (1, 3, 17)}
    for run in cpu:
        assert run["flip_rate"] <= 1e-4
        assert run["pictures_per_second"] > 0
    assert entry["size"] == (folder / "model.onnx").stat().st_size
    assert entry["top10"] > 0.99
    assert abs(entry["map_after"] - record["map"]) <= 0.002
    assert (folder / "parity/margins.png").read_bytes()[:4] == b"\x89PNG"
    margins = record["margins"]
    assert len(margins["edges"]) == len(margins["all"]) + 1
    worst = max((run["parity"] for run in entry["runs"]), key=lambda p: p["flipped_bits"])
    assert sum(margins["all"]) == worst["pictures"] * worst["bits"]
    assert [len(counts) for counts in margins["flipped"]] == [len(margins["all"])]
    assert sum(margins["flipped"][0]) == worst["flipped_symbols"]
    assert "| margin | all | `model.onnx` |" in (folder / "parity/parity.md").read_text()
    assert "| `model.onnx` | fp32 |" in (folder / "parity/parity.md").read_text()


def test_the_budget_decides_the_exit_code(
    folder: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder / "model.onnx"), "--against", str(folder / "ckpt.pt"), "--data",
                 str(picture_folder)]  # fmt: skip
    assert verify([*arguments, "--max-flip-rate", "-1"]) == 1
    assert "bits flip, allowed -100.000%" in capsys.readouterr().err
    record = json.loads((folder / "parity/parity.json").read_text())
    assert not record["passed"]


def test_a_file_of_another_run_is_refused(
    folder: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(folder / "other.pt", bits=12, fc_dim=16, backbone="alexnet")
    code = verify(
        [
            str(folder / "model.onnx"),
            "--against",
            str(folder / "other.pt"),
            "--data",
            str(picture_folder),
        ]
    )
    assert code == 1
    assert "exported from another training run" in capsys.readouterr().err


def test_to_onnx_judges_map_on_given_data(
    tmp_path: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path / "ckpt.pt", backbone="alexnet", method="dpsh")
    out = tmp_path / "model.onnx"
    arguments = [str(tmp_path / "ckpt.pt"), "-o", str(out), "--data", str(picture_folder)]
    assert to_onnx(arguments) == 0
    assert "MAP@all: torch" in capsys.readouterr().out
    out.unlink()
    assert to_onnx([*arguments, "--max-map-drop", "-1"]) == 1
    assert "MAP@all falls by" in capsys.readouterr().err
    assert not out.exists()
