"""Whole runs: what they leave behind, and how they end when something is wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dsah_infer import HammingIndex
from dsah_infer.contract import pack_symbols
from dsah_infer.errors import CheckpointError, ConfigError, PictureError, TrainingError
from dsah_train.checkpoint import load_checkpoint
from dsah_train.data import decode_part
from dsah_train.encode import encode, symbols_of
from dsah_train.fit import fit
from dsah_train.progress import save_state
from dsah_train.run_folder import RunFolder
from dsah_train.trained_on import name_digest
from tests.train import tiny

FAST: dict[str, object] = {"image_size": 32, "train_size": 32, "warm_start": 0, "epochs": 2}


def records(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def train(out: Path, method: str = "dpsh", *, budget: float | None = None, **changes: object):
    corrupt = changes.pop("corrupt", ())
    per_class = int(changes.pop("per_class", 4))  # type: ignore[call-overload]
    data = tiny.dataset(corrupt=corrupt, per_class=per_class)  # type: ignore[arg-type]
    settings = tiny.config(method, **(FAST | changes))
    path = fit(
        settings, data, out, weights="none", device="cpu", time_budget=budget, progress=False
    )
    return load_checkpoint(path)


def test_a_run_chooses_epochs_and_refits_on_all(tmp_path: Path) -> None:
    checkpoint = train(tmp_path, "dsah", select=True, epochs=4)
    phases = [(r["phase"], r["epoch"]) for r in records(tmp_path)]
    scores = [r["val_map"] for r in records(tmp_path) if "val_map" in r]
    assert ("select", 4) in phases
    assert checkpoint.metrics["selection_map"] == max(scores)
    assert "val_map" not in checkpoint.metrics  # that of the refit is not known
    assert max(e for phase, e in phases if phase == "refit") == checkpoint.metrics["epochs"]
    left = {p.name for p in tmp_path.iterdir()}
    assert left >= {"ckpt.pt", "config.json", "metrics.jsonl", "state.pt"}
    assert checkpoint.contract.metrics == checkpoint.metrics
    assert checkpoint.start_weights == "random"
    names = tiny.dataset(per_class=4).train.names
    assert checkpoint.trained_on == {name_digest(name) for name in names}


def test_select_falls_back_to_all_epochs_where_classes_are_too_small(tmp_path: Path) -> None:
    checkpoint = train(tmp_path, select=True, per_class=1)
    assert [r["phase"] for r in records(tmp_path)] == ["refit", "refit"]
    assert not {"val_map", "selection_map"} & set(checkpoint.metrics)


def test_a_checkpoint_has_its_own_validation_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, kept = iter([0.2, 0.6, 0.5, 0.4]), []
    monkeypatch.setattr("dsah_train.fit.validation_map", lambda *_: next(scores))
    monkeypatch.setattr(
        "dsah_train.run_folder.save_checkpoint", lambda *_, **kw: kept.append(kw["metrics"])
    )
    with contextlib.suppress(CheckpointError):  # none is written
        train(tmp_path, select=True, epochs=4)
    assert [metrics.get("val_map") for metrics in kept] == [0.2, 0.6, 0.5, 0.4, None, None]
    assert [metrics.get("selection_map") for metrics in kept[4:]] == [0.6, 0.6]


def test_no_checkpoint_of_codes_that_are_not_trained_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists: list[bool] = []
    record = RunFolder.record

    def watched(folder: RunFolder, *arguments: Any) -> None:
        exists.append(folder.checkpoint.exists())  # before this epoch's is written
        record(folder, *arguments)

    monkeypatch.setattr(RunFolder, "record", watched)
    train(tmp_path, "dagh", epochs=8, alternate="joint")
    assert exists == [False] * 5 + [True] * 3  # four epochs of stream one, four of the student


def test_a_finished_run_says_so_before_it_reads_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path)
    monkeypatch.setattr("dsah_train.fit.decode_pictures", None)
    train(tmp_path)
    (tmp_path / "ckpt.pt").unlink()
    with pytest.raises(CheckpointError, match=r"finished, but its ckpt\.pt is gone"):
        train(tmp_path)


def test_corrupt_training_pictures_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = train(tmp_path, corrupt=(1,))
    assert "skipped train/1.png" in "".join(capsys.readouterr())
    assert checkpoint.model is not None


def test_same_seed_same_checkpoint(tmp_path: Path) -> None:
    one, two = (train(tmp_path / name).contract for name in ("one", "two"))
    other = train(tmp_path / "other", seed=1).contract
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("method", "writes"),
    [("dsah", 3), ("dsah", 5), ("dagh", 1), ("dagh", 3), ("doh", 2), ("dpsh", 4)],
)
def test_a_run_stopped_in_any_part_goes_on_bit_for_bit(
    method: str, writes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped behind the n-th write of its state: choosing or refitting, in either stream."""
    settings = {"select": True, "epochs": 4, "dropout": 0.3, "warm_start": 1, "patience": 3}
    whole = train(tmp_path / "whole", method, **settings)
    done = 0

    def stop(*arguments: object) -> None:
        nonlocal done
        save_state(*arguments)  # type: ignore[arg-type]
        done += 1
        if done == writes:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dsah_train.run_folder.save_state", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", method, **settings)
    resumed = train(tmp_path / "stopped", method, **settings)
    assert resumed.contract.fingerprint == whole.contract.fingerprint
    assert resumed.metrics == whole.metrics
    logs = [records(tmp_path / name) for name in ("whole", "stopped")]
    for one, two in zip(*logs, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_other_settings_on_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    before = (tmp_path / "ckpt.pt").read_bytes()
    with pytest.raises(ConfigError, match="other settings"):
        train(tmp_path, lr=0.5)
    assert (tmp_path / "ckpt.pt").read_bytes() == before
    train(tmp_path)  # the same settings: finished already
    assert (tmp_path / "ckpt.pt").read_bytes() == before


@pytest.mark.parametrize("content", [None, ["a list"], {"format": "dsah.training-state"}])
def test_a_damaged_state_is_named(content: object, tmp_path: Path) -> None:
    if content is None:
        (tmp_path / "state.pt").write_bytes(b"garbage")
    else:
        torch.save(content, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="give another --out"):
        train(tmp_path)


def test_a_time_budget_shortens_the_run(tmp_path: Path) -> None:
    train(tmp_path, epochs=500, budget=0.5)
    assert 1 <= len(records(tmp_path)) < 500
    assert (tmp_path / "ckpt.pt").exists()


@pytest.mark.parametrize(
    ("method", "start", "end"), [("dagh", "guide joint", "student"), ("doh", "classes", "hashing")]
)
@pytest.mark.parametrize("select", [False, True])
def test_no_budget_is_too_short_for_the_codes(
    method: str, start: str, end: str, select: bool, tmp_path: Path
) -> None:
    """What is exported is trained, however little time is left behind the methods' first part."""
    train(tmp_path, method, epochs=16, budget=1e-6, select=select, alternate="joint")
    phases = ("select", "refit") if select else ("refit",)
    for phase in phases:
        steps = [r["step"] for r in records(tmp_path) if r["phase"] == phase]
        assert steps[-1] == end
        assert len(steps) <= 2
    assert [r["step"] for r in records(tmp_path)][:2] == [start, end]


def test_epochs_that_train_no_codes_are_no_candidates(tmp_path: Path) -> None:
    train(tmp_path, "dagh", select=True, epochs=8, alternate="joint")
    scored = [(r["epoch"], r["step"]) for r in records(tmp_path) if "val_map" in r]
    assert scored == [(6, "student"), (8, "student")]


def test_patience_ends_the_choice_of_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.2, 0.6, 0.5, 0.6, 0.9])
    monkeypatch.setattr("dsah_train.fit.validation_map", lambda *_: next(scores))
    checkpoint = train(tmp_path, select=True, epochs=10, patience=2)
    assert [r["epoch"] for r in records(tmp_path) if r["phase"] == "select"] == [1, 2, 3, 4]
    assert [r["epoch"] for r in records(tmp_path) if r["phase"] == "refit"] == [1, 2]
    assert checkpoint.metrics["selection_map"] == 0.6
    assert checkpoint.metrics["epochs"] == 2


def test_a_training_that_diverges_ends_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d of phase refit: hashing loss is (inf|nan)"):
        train(tmp_path, quantization=1e9, lr=10.0, trunk_lr=10.0, clip=1e9, optimizer="sgd")


def test_ordinal_and_frozen_runs_leave_their_contract(tmp_path: Path) -> None:
    doh = train(tmp_path / "doh", "doh", bits=12, arity=8).contract
    assert (doh.info_bits, doh.bits, doh.symbol_bits, doh.activations) == (12, 16, 4, 32)
    assert doh.has_saliency
    frozen = train(tmp_path / "frozen", "csq", train_trunk=False)
    assert not frozen.contract.has_saliency


def student_of(folder: Path, **changes: object):
    """A student of ``folder/teacher``, with its checkpoint in ``folder/student``."""
    teacher = str(folder / "teacher" / "ckpt.pt")
    sizes = {"image_size": 48, "train_size": 48}
    return train(folder / "student", "dagh", teacher=teacher, warm_start=1, **sizes, **changes)


def test_a_student_lives_in_its_teachers_space(tmp_path: Path) -> None:
    teacher = train(tmp_path / "teacher", "dsah", epochs=3, bits=12, image_size=48)
    student = student_of(tmp_path, epochs=4)
    assert student.contract.space == teacher.contract.space
    assert student.contract.fingerprint != teacher.contract.fingerprint
    assert student.config.bits == 12  # the teacher's, not the config's
    part = tiny.dataset().train
    mine, theirs = (
        encode(c.model, decode_part(part, c.contract.pixels, progress=False), c.contract).codes
        for c in (student, teacher)
    )
    differing = int(np.unpackbits(mine ^ theirs).sum())
    assert differing <= 2  # of 96 bits: the teacher's codes are learnt
    assert {r["step"] for r in records(tmp_path / "student")} == {"student"}


def test_a_student_knows_what_its_teacher_was_trained_on(tmp_path: Path) -> None:
    teacher = train(tmp_path / "teacher", "dpsh", per_class=8)
    student = student_of(tmp_path, epochs=1)
    assert teacher.trained_on == student.trained_on
    assert len(teacher.trained_on) == 16  # the student itself has seen 8


@pytest.mark.parametrize("arity", [2, 4, 8])
def test_an_ordinal_teacher_has_students(tmp_path: Path, arity: int) -> None:
    teacher = train(tmp_path / "teacher", "doh", epochs=4, bits=12, arity=arity, image_size=48)
    student = student_of(tmp_path, epochs=6, bits=12, nested="6,12")
    kept = ("space", "bits", "symbol_bits", "arity", "info_bits", "segments")
    for name in kept:
        assert getattr(student.contract, name) == getattr(teacher.contract, name), name
    part = tiny.dataset().train
    pixels = decode_part(part, teacher.contract.pixels, progress=False)
    mine, theirs = (
        symbols_of(encode(c.model, pixels, c.contract).activations, c.contract)
        for c in (student, teacher)
    )
    assert mine.shape == (8, teacher.contract.segments)
    assert (mine != theirs).sum() <= mine.size // 16  # the teacher's symbols are learnt
    index = HammingIndex(
        teacher.contract.bits,
        symbol_bits=teacher.contract.symbol_bits,
        contract=teacher.contract,
    )
    index.add(pack_symbols(theirs, teacher.contract.symbol_bits))
    queries = pack_symbols(mine, student.contract.symbol_bits)
    distances, _ = index.search(queries, 1, contract=student.contract, other_fingerprint="accept")
    assert (distances <= 1).all()


def test_a_teacher_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        train(tmp_path / "student", "dagh", teacher=str(tmp_path / "absent.pt"))


def test_teacher_reads_with_its_own_pixel_rule(tmp_path: Path) -> None:
    from dsah_train.teacher import Teacher

    train(tmp_path, bits=16, image_size=40, crop=0.8)
    teacher = Teacher.load(str(tmp_path / "ckpt.pt"))
    bits = teacher.symbols_of(tiny.dataset().train, progress=False)
    assert bits.shape == (8, 16)
    assert set(bits.unique().tolist()) <= {0, 1}
    with pytest.raises(PictureError, match=r"train/2\.png"):
        teacher.symbols_of(tiny.dataset(corrupt=(2,)).train, progress=False)
    assert torch.equal(bits, teacher.symbols_of(tiny.dataset().train, progress=False))
