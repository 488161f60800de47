"""A run folder is resumed on its own settings, pictures, labels, weights and teacher alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from dsah_infer.errors import ConfigError
from dsah_train.backbones import build_model
from dsah_train.checkpoint import load_checkpoint
from dsah_train.data import Dataset
from dsah_train.fit import fit
from dsah_train.run_key import WORDS, run_key
from dsah_train.teacher import Teacher
from tests.train import tiny

FAST: dict[str, object] = {"image_size": 32, "train_size": 32, "warm_start": 0, "epochs": 2}


def train(
    out: Path,
    method: str = "dpsh",
    *,
    data: Dataset | None = None,
    weights: str = "none",
    **changes: object,
) -> Path:
    settings = tiny.config(method, **(FAST | changes))
    data = data or tiny.dataset()
    return fit(settings, data, out, weights=weights, device="cpu", progress=False)


def relabelled(data: Dataset) -> Dataset:
    """The same pictures, the last one of the first class in the second."""
    targets = data.train.targets.copy()
    targets[3] = targets[4]
    return dataclasses.replace(data, train=dataclasses.replace(data.train, targets=targets))


def test_other_labels_of_the_same_pictures_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(ConfigError, match="a run with other labels of its training pictures; give"):
        train(tmp_path, data=relabelled(tiny.dataset()))
    train(tmp_path)  # with its own it is finished


def test_other_start_weights_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "one.pth", tmp_path / "two.pth"]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        torch.save(build_model("squeezenet1_1", None).state_dict(), file)
    train(tmp_path / "run", weights=str(files[0]))
    for weights in ("none", str(files[1])):
        with pytest.raises(
            ConfigError, match=r"a run with other start weights \(--weights\); give"
        ):
            train(tmp_path / "run", weights=weights)
    files[0].rename(tmp_path / "moved.pth")
    train(tmp_path / "run", weights=str(tmp_path / "moved.pth"))  # their place does not matter


def test_a_teacher_trained_anew_at_the_same_path_is_refused(tmp_path: Path) -> None:
    path = train(tmp_path / "teacher")
    student = {"teacher": str(path)}
    train(tmp_path / "student", "dagh", **student)
    train(tmp_path / "student", "dagh", **student)
    path.write_bytes(train(tmp_path / "other", seed=1).read_bytes())
    with pytest.raises(ConfigError, match="a run with another teacher in the file that"):
        train(tmp_path / "student", "dagh", **student)
    space = load_checkpoint(train(tmp_path / "new", "dagh", **student)).contract.space
    assert space == load_checkpoint(path).contract.space


def test_all_that_differs_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    three = dataclasses.replace(tiny.dataset(), class_names=("a", "x"))
    with pytest.raises(
        ConfigError,
        match=r"other settings \(lr, seed; see config\.json\) and other classes or training "
        r"pictures and other labels",
    ):
        train(tmp_path, data=relabelled(three), lr=0.5, seed=3)


def test_a_state_from_before_these_digests_is_resumed(tmp_path: Path) -> None:
    train(tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for name in ("labels", "weights", "teacher"):
        del state[name]
    torch.save(state, tmp_path / "state.pt")
    before = (tmp_path / "ckpt.pt").read_bytes()
    train(tmp_path)
    train(tmp_path, data=relabelled(tiny.dataset()))  # nothing is known of its labels
    assert (tmp_path / "ckpt.pt").read_bytes() == before


def test_each_part_of_a_key_has_its_words(tmp_path: Path) -> None:
    data = tiny.dataset()
    teacher = Teacher.load(str(train(tmp_path)))
    key = run_key(data, {"a": torch.zeros(2)}, teacher)
    assert key.keys() == WORDS.keys()
    assert key["teacher"] == teacher.checkpoint.contract.fingerprint
    bare = run_key(data, None, None)
    assert (bare["weights"], bare["teacher"]) == ("random", "")
    assert (bare["data"], bare["labels"]) == (key["data"], key["labels"])
