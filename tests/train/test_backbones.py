"""Where ImageNet weights come from, and what happens where they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsah_infer.errors import CheckpointError, ConfigError
from dsah_train.backbones import build_trunk, find_weights, load_weights
from dsah_train.torchvision_import import torchvision

NAME = "squeezenet1_1"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's download fails, as it does without a network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    weights = torchvision.models.get_model_weights(NAME).DEFAULT
    monkeypatch.setattr(type(weights), "get_state_dict", refuse)


def test_a_file_beats_the_data_folder_which_beats_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DSAH_DATA", raising=False)
    assert find_weights(NAME, "auto") == "imagenet"
    kept = tmp_path / "weights" / f"{NAME}.pth"
    kept.parent.mkdir()
    kept.write_bytes(b"")
    monkeypatch.setenv("DSAH_DATA", str(tmp_path))
    assert find_weights(NAME, "auto") == kept
    assert find_weights(NAME, "imagenet") == "imagenet"
    assert find_weights(NAME, "none") is None
    own = tmp_path / "own.pth"
    own.write_bytes(b"")
    assert find_weights(NAME, str(own)) == own
    with pytest.raises(ConfigError, match=r"missing\.pth: no such file"):
        find_weights(NAME, "missing.pth")


@pytest.mark.usefixtures("offline")
def test_without_a_network_auto_warns_and_an_explicit_wish_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DSAH_DATA", raising=False)
    with pytest.warns(UserWarning, match=r"no ImageNet weights .* --weights FILE"):
        assert load_weights(NAME, "auto") is None
    with pytest.raises(CheckpointError, match="no network"):
        load_weights(NAME, "imagenet")


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(3)}, path)
    state = load_weights(NAME, str(path))
    with pytest.raises(CheckpointError, match="do not fit squeezenet1_1"):
        build_trunk(NAME, state)
    path.write_bytes(b"not a state dict")
    with pytest.raises(CheckpointError):
        load_weights(NAME, str(path))


def test_real_weights_fit_and_become_float32(squeezenet_weights: Path) -> None:
    state = load_weights(NAME, str(squeezenet_weights))
    assert state is not None
    assert {value.dtype for value in state.values()} == {torch.float32}
    trunk = build_trunk(NAME, state)
    first = trunk.blocks[0].weight
    assert torch.equal(first, state["features.0.weight"])
    assert trunk(torch.zeros(1, 3, 64, 64)).isfinite().all()
