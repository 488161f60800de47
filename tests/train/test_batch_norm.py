"""Batch normalisation of several processes: together on CUDA, a warning on the CPU."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from dsah_train.batch_norm import normalise_together, shares_statistics
from dsah_train.hashing import NormalisedLinear
from dsah_train.methods.registry import build_method
from tests.train import tiny

SMALL = {"image_size": 32, "train_size": 32}


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsah_train.distributed._world", lambda: (0, 2))


def kinds(model: nn.Module) -> set[type]:
    return {type(m) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}


@pytest.mark.parametrize(
    ("device", "count", "together"),
    [("cpu", 1, False), ("cpu", 2, False), ("cuda", 1, False), ("cuda", 2, True)],
)
def test_only_several_cards_normalise_together(device: str, count: int, together: bool) -> None:
    assert shares_statistics(device, count) is together


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small"])
def test_on_cuda_layers_are_exchanged_and_the_network_stays_the_same(backbone: str) -> None:
    settings = tiny.config("dsah", backbone=backbone, code_norm=False, **SMALL)
    method = build_method(settings, 2)
    model, images = method.model.eval(), torch.randn(2, 3, 32, 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = list(model.parameters())
    with torch.no_grad():
        codes = model(images).activations
    normalise_together(model, torch.device("cuda"))
    assert kinds(model) == {nn.SyncBatchNorm}
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # The optimisers hold these very tensors.
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    with torch.no_grad():
        assert torch.equal(model(images).activations, codes)


@pytest.mark.usefixtures("two_processes")
def test_a_hash_layer_keeps_its_own_way_of_normalising_together() -> None:
    method = build_method(tiny.config("dsah", backbone="resnet18", code_norm=True, **SMALL), 2)
    (layer,) = (m for m in method.model.modules() if isinstance(m, NormalisedLinear))
    norm, names = layer.norm, list(method.model.state_dict())
    normalise_together(method.model, torch.device("cuda"))
    assert layer.norm is norm
    assert kinds(method.model) == {nn.SyncBatchNorm, nn.BatchNorm1d}
    assert list(method.model.state_dict()) == names


@pytest.mark.usefixtures("two_processes")
def test_what_is_trained_is_asked_to_normalise_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "dsah_train.methods.method.normalise_together", lambda model, _: asked.append(model)
    )
    method = build_method(tiny.config("dagh", backbone="resnet18", **SMALL), 2)
    assert {id(m) for m in asked} == {id(method.model), id(method.first.model)}
    asked.clear()
    build_method(tiny.config("itq", backbone="resnet18", **SMALL), 2)
    build_method(tiny.config("dpsh", backbone="resnet18", train_trunk=False, **SMALL), 2)
    assert not asked


@pytest.mark.usefixtures("two_processes")
def test_on_the_cpu_a_warning_says_what_is_different(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        method = build_method(tiny.config("dpsh", backbone="resnet18", **SMALL), 2)
    assert "2 processes on device cpu: each normalises its own share" in caplog.text
    assert kinds(method.model) == {nn.BatchNorm2d}
    caplog.clear()
    build_method(tiny.config("dsah", code_norm=True, **SMALL), 2)  # none but in the hash layer
    assert not caplog.text


def test_one_process_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    method = build_method(tiny.config("dpsh", backbone="resnet18", **SMALL), 2)
    normalise_together(method.model, torch.device("cuda"))
    assert kinds(method.model) == {nn.BatchNorm2d}
    assert not caplog.text
