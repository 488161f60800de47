"""Checkpoints: round trips, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from dsah_infer.contract import CodeContract
from dsah_infer.describe import describe
from dsah_infer.errors import CheckpointError
from dsah_train.checkpoint import CHECKPOINT_VERSION, load_checkpoint, save_checkpoint
from dsah_train.config import METHODS
from dsah_train.models import build_model
from dsah_train.trained_on import name_digest
from tests.train import tiny

X = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def write(path: Path, method: str = "dpsh", **changes: object) -> CodeContract:
    settings = tiny.config(method, **changes)
    model = build_model(settings, 2)
    return save_checkpoint(
        path, model=model, config=settings, class_names=("a", "b"), metrics={"val_map": 0.5}
    )


@pytest.mark.parametrize("method", METHODS)
def test_round_trip_of_every_method(tmp_path: Path, method: str) -> None:
    settings = tiny.config(method)
    model = build_model(settings, 2).eval()
    written = save_checkpoint(
        tmp_path / "ckpt.pt", model=model, config=settings, class_names=("a", "b"), metrics={}
    )
    read = load_checkpoint(tmp_path / "ckpt.pt")
    assert read.config == settings
    assert read.contract == written
    assert not read.model.training
    with torch.no_grad():
        assert torch.equal(read.model(X).activations, model(X).activations)
    described = describe(tmp_path / "ckpt.pt")  # without torch
    assert described["kind"] == "checkpoint"
    assert described["fingerprint"] == written.fingerprint
    assert written.space
    assert written.fingerprint


def test_fingerprint_names_weights_and_space_can_be_inherited(tmp_path: Path) -> None:
    one = write(tmp_path / "one.pt")
    same = write(tmp_path / "same.pt")
    other = write(tmp_path / "other.pt", bits=12)
    assert one.space != other.space
    assert one.fingerprint != other.fingerprint
    assert (one.space == same.space) == (one.fingerprint == same.fingerprint)
    settings = tiny.config("dpsh")
    student = save_checkpoint(
        tmp_path / "student.pt",
        model=build_model(settings, 2),
        config=settings,
        class_names=("a", "b"),
        metrics={},
        space=one.space,
    )
    assert student.space == one.space
    assert student.fingerprint != one.fingerprint


def test_names_of_training_pictures_are_kept_as_digests(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    written = write(path)
    assert load_checkpoint(path).trained_on is None  # as an older version wrote it
    settings = tiny.config("dpsh")
    names = ["b/2.png", "a/1.png", "a/\udcff.png", "b/2.png"]  # one not in UTF-8, one twice
    save_checkpoint(
        path,
        model=load_checkpoint(path).model,
        config=settings,
        class_names=("a", "b"),
        metrics={"val_map": 0.5},
        train_names=names,
    )
    read = load_checkpoint(path)
    assert read.trained_on == {name_digest(name) for name in names}
    assert len(read.trained_on) == 3
    assert read.contract == written
    for wrong in ("names", torch.zeros(3, 8), torch.zeros(3, dtype=torch.uint8)):
        change(path, trained_on=wrong)
        with pytest.raises(CheckpointError, match=r"does not fit itself.*trained_on"):
            load_checkpoint(path)


def change(path: Path, **fields: object) -> None:
    payload = torch.load(path, weights_only=True)
    torch.save(payload | fields, path)


def test_wrong_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"

    def refused(message: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)

    refused("no such file")
    path.write_bytes(b"not a checkpoint")
    refused(r"not a readable checkpoint: no file of dsah_train fit.*code$")  # no torch advice
    torch.save([1, 2], path)
    refused("holds a list")
    torch.save({"format": "other"}, path)
    refused("not a dsah checkpoint")
    write(path)
    change(path, version=CHECKPOINT_VERSION + 1)
    refused("upgrade dsah")
    write(path)
    change(path, config=json.dumps({"method": "magic"}))
    refused("does not fit itself")
    write(path)
    change(path, model={"hash.weight": torch.zeros(1)})
    refused("does not fit itself")
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused("not a readable checkpoint")


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    path = tmp_path / "ckpt.pt"
    with path.open("wb") as file:
        pickle.dump({"format": "dsah.checkpoint", "version": 1, "model": Evil()}, file)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    torch.save({"format": "dsah.checkpoint", "version": 1, "model": Evil()}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ckpt.pt"
    write(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ckpt.pt"]
