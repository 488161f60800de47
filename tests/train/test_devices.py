"""Training elsewhere than on the CPU: on torch's meta device, which knows places but no values.

An operation on tensors of two devices fails there as it does on a card.
"""

from __future__ import annotations

import contextlib
import functools

import pytest
import torch

from dsah_train.config import METHODS
from dsah_train.methods.method import Meter, Method
from dsah_train.methods.registry import build_method
from dsah_train.methods.warm_start import fit_head
from tests.train import tiny

META = torch.device("meta")
SETTINGS = {"image_size": 32, "train_size": 32, "epochs": 2, "optimizer": "sgd"}


@pytest.fixture(autouse=True)
def _without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for values or for a known kind of device, and does not matter here."""
    monkeypatch.setattr(Meter, "means", lambda self: {})
    monkeypatch.setattr(Method, "autocast", lambda self: contextlib.nullcontext())
    for module in ("dsah", "dagh", "single_stream"):  # two steps of the 600 show what there is
        monkeypatch.setattr(
            f"dsah_train.methods.{module}.fit_head", functools.partial(fit_head, steps=2)
        )


def train(method: str, **changes: object) -> Method:
    # The balanced order is made of the targets' values.
    settings = tiny.config(method, **(SETTINGS | {"sampler": "random"} | changes))
    trained = build_method(settings, 2, device="meta")
    data = tiny.training_set(settings).to(trained.device)
    trained.prepare(data)
    for epoch in range(settings.epochs):
        trained.epoch(data, epoch, settings.epochs)
    return trained


@pytest.mark.parametrize("warm_start", [0, 1])
@pytest.mark.parametrize("name", [m for m in METHODS if m not in ("itq", "lsh")])
def test_a_step_stays_on_its_device(name: str, warm_start: int) -> None:
    method = train(name, warm_start=warm_start)
    assert {p.device for p in method.model.parameters()} == {META}
    assert all(p.grad is not None for p in method.model.parameters() if p.requires_grad)


@pytest.mark.parametrize("alternate", ["epoch", "batch"])
@pytest.mark.parametrize("name", ["dsah", "dagh"])
def test_steps_that_take_turns_stay_on_their_device(name: str, alternate: str) -> None:
    train(name, alternate=alternate, warm_start=0)


@pytest.mark.parametrize("name", ["dsah", "dagh", "doh", "csq"])
def test_heads_on_frozen_features_stay_on_their_device(name: str) -> None:
    train(name, train_trunk=False, warm_start=1)


def test_pictures_targets_and_codes_move_together() -> None:
    settings = tiny.config("dagh", sampler="random")
    data = tiny.training_set(settings)
    guide = torch.zeros(len(data), 8, dtype=torch.uint8)
    moved = type(data)(data.pictures, data.targets, settings, data.pictures, guide).to(META)
    assert moved.guide is not None
    assert moved.pictures.device == moved.targets.device == moved.guide.device == META
    batch = next(iter(moved.batches(0)))
    assert batch.images.device == batch.targets.device == META
    assert moved.guide[batch.rows].device == META
    stayed = data.to(torch.device("cpu"))
    assert stayed.pictures.data_ptr() == data.pictures.data_ptr()
    with pytest.raises((RuntimeError, NotImplementedError)):  # what the move is for
        build_method(settings, 2, device="meta").epoch(data, 0, 2)
