"""The parity gate as a command, on real picture files."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from dsah_train.checkpoint import Checkpoint, load_checkpoint
from dsah_train.encode import Codes
from export import verify as verify_module
from export.gate import Budget
from export.labelled import load_calibration, load_labelled
from export.parity import Parity, reference_run
from export.to_onnx import main as to_onnx
from export.verify import Run
from export.verify import main as verify
from export.verify import verify as verify_file
from tests.export.conftest import move_bias, run_script
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
    move_bias(folder / "model.onnx", folder / "moved.onnx", 1e3)
    arguments = [str(folder / "moved.onnx"), "--against", str(folder / "ckpt.pt"), "--data",
                 str(picture_folder)]  # fmt: skip
    assert verify(arguments) == 1
    assert "moved.onnx: " in (said := capsys.readouterr().err)
    assert "bits flip, allowed 0.010%" in said
    record = json.loads((folder / "parity/parity.json").read_text())
    assert not record["passed"]
    assert verify([*arguments, "--max-flip-rate", "nan"]) == 2
    assert "allowed: 0 to 1" in capsys.readouterr().err


def test_each_way_of_running_a_file_must_pass(
    folder: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most flips happen at ties; fewer, far from any, happen with another batch size."""
    tie = Parity(36, 12, 5, 5, 1e-9, 1e-9, 0.0, 0.0)
    far = dataclasses.replace(tie, flipped_bits=1, flipped_symbols=1, largest_flip=9.0)

    def stand_in(_: object, __: object, ours: Codes, device: str, threads: int, batch: int):
        return Run(device, threads, batch, 1.0, far if batch == 17 else tie), ours

    monkeypatch.setattr(verify_module, "_run", stand_in)
    checkpoint = load_checkpoint(folder / "ckpt.pt")
    data = load_labelled(str(picture_folder), checkpoint)
    ours = reference_run(checkpoint, data.images)
    budget = Budget(max_flip_rate=0.1)
    space = checkpoint.contract.space
    verdict = verify_file(folder / "model.onnx", ours, data, budget, space)
    assert verdict.worst.parity is tie
    assert [o.partition(" flips")[0] for o in verdict.objections] == ["a symbol with a margin of 9"]


def test_unreadable_pictures_are_left_out_as_in_training(
    folder: Path, picture_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = load_checkpoint(folder / "ckpt.pt")
    whole = load_labelled(str(picture_folder), checkpoint)
    calibration = load_calibration(str(picture_folder), checkpoint)
    copied = shutil.copytree(picture_folder, folder / "copied")
    spoiled = sorted(copied.rglob("*.*"))[0]
    spoiled.write_bytes(b"no picture")
    data = load_labelled(str(copied), checkpoint)
    assert len(data.images) == len(whole.images) - 1
    assert len(data.query_targets) == data.queries
    assert len(data.query_targets) + len(data.gallery_targets) == len(data.images)
    assert len(load_calibration(str(copied), checkpoint)) >= len(calibration) - 1
    assert spoiled.name in capsys.readouterr().out


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


def test_what_cannot_be_judged_or_kept_is_said_before_the_work(
    folder: Path,
    picture_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--against", str(folder / "ckpt.pt"), "--data", str(picture_folder)]
    monkeypatch.setattr(verify_module, "reference_run", lambda *_: pytest.fail("too late"))
    out = str(folder / "ckpt.pt/report")  # inside a file
    assert verify([str(folder / "model.onnx"), *arguments, "--out", out]) == 1
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr(verify_module, "load_labelled", lambda *_, **__: pytest.fail("too late"))
    assert verify([str(folder / "model.onnx"), str(folder / "none.onnx"), *arguments]) == 1
    assert "none.onnx: No such file" in capsys.readouterr().err


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
