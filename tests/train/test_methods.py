"""Every method learns its pictures by heart, repeats itself, and freezes what it says it does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from dsah_infer.errors import ConfigError
from dsah_train.checkpoint import contract_of
from dsah_train.config import METHODS, Config
from dsah_train.encode import encode
from dsah_train.methods.dagh import DAgH, stream_one_epochs
from dsah_train.methods.doh import class_epochs
from dsah_train.methods.dsah import DSaH, same_when_frozen
from dsah_train.methods.method import Meter, Method, freeze
from dsah_train.methods.registry import build_method
from dsah_train.methods.shallow import itq_projection
from dsah_train.methods.single_stream import SingleStream
from dsah_train.metrics import mean_average_precision
from tests.train import tiny

LEARNT = [m for m in METHODS if m not in ("itq", "lsh")]
SMALL = {"image_size": 32, "train_size": 32, "warm_start": 0}
#: What some methods need beside 24 epochs from random weights, one step each.
SPECIAL: dict[str, dict[str, object]] = {
    "dsah": {"alternate": "batch", "epochs": 16},
    "doh": {"seed": 1},  # the random codes of seed 0 tell the two classes apart already
    "dagh": {"epochs": 40, "alternate": "joint"},
    "orthohash": {"lr": 1e-3},
    "dpsh": {"epochs": 40, "image_size": 48, "train_size": 48},
    # Features without normalisation are all positive, and those of random weights nearly the same:
    # it tells two classes by length then, instead of by sign.
    "dsh": {"backbone": "resnet18", "epochs": 12, "lr": 2e-3, "trunk_lr": 1.0},
}
#: Settings that are learnt by heart: each method's, the published losses and steps of DSaH, and
#: both ways in which DAgH's first stream takes turns.
BY_HEART: dict[str, tuple[str, dict[str, object]]] = {
    **{name: (name, SPECIAL.get(name, {})) for name in LEARNT},
    "dsah as published": (
        "dsah",
        {
            "centres": 0.0,
            "pair_power": 1,
            "code_norm": False,
            "lr": 1e-3,
            "alternate": "epoch",
            "epochs": 40,
        },
    ),
    "dsah with a plain hash layer": ("dsah", {"code_norm": False, "lr": 1e-3}),
    "dagh by epoch": ("dagh", {"alternate": "epoch", "epochs": 40}),
    "dagh by batch": ("dagh", {"alternate": "batch", "epochs": 40}),
}


def trained(settings: Config) -> Method:
    method, data = build_method(settings, 2), tiny.training_set(settings)
    method.prepare(data)
    for epoch in range(settings.epochs):
        method.epoch(data, epoch, settings.epochs)
    return method


def codes_of(method: Method) -> tuple[np.ndarray, np.ndarray, Config]:
    contract = contract_of(method.config, ("a", "b"), method.model, {})
    data = tiny.training_set(method.config)
    codes = encode(method.model, data.pictures, contract).codes
    score = mean_average_precision(
        codes,
        data.targets.numpy(),
        codes,
        data.targets.numpy(),
        bits=contract.bits,
        symbol_bits=contract.symbol_bits,
    )
    return codes, np.float64(score), contract


def codes_by_class(codes: np.ndarray) -> tuple[set[bytes], set[bytes]]:
    """The different codes of each class."""
    first, second = ({bytes(c) for c in part} for part in (codes[:4], codes[4:]))
    return first, second


@pytest.mark.parametrize("case", BY_HEART)
def test_overfits_two_classes_of_four(case: str) -> None:
    name, changes = BY_HEART[case]
    settings = tiny.config(name, **(SMALL | {"epochs": 24} | changes))
    # The loop does it: neither a head that was fitted before, nor luck with random weights.
    assert settings.warm_start == 0
    start = codes_by_class(codes_of(build_method(settings, 2))[0])
    assert start[0] == start[1] or max(map(len, start)) > 1
    method = trained(settings)
    codes, score, _ = codes_of(method)
    first, second = codes_by_class(codes)
    assert len(first) == len(second) == 1
    assert first != second
    assert score == 1.0
    if isinstance(method, DAgH):  # the student's codes are the guide's
        want = method.guide.numpy()
        assert (np.unpackbits(codes, axis=1, count=8) == want).all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("frozen", [False, True])
def test_same_seed_same_weights(name: str, frozen: bool) -> None:
    changes: dict[str, object] = SMALL | {"train_trunk": not frozen}
    if name not in ("itq", "lsh"):
        changes |= {"epochs": 2}
    settings = tiny.config(name, **changes)
    start = build_method(settings, 2).model.state_dict()
    one, two = (trained(settings).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    moved = {key.rsplit(".", 1)[0] for key in one if not torch.equal(one[key], start[key])}
    assert any("hash" in key for key in moved)
    assert any("trunk" in key for key in moved) == (not frozen and name not in ("itq", "lsh"))


def other_value(field: dataclasses.Field[Any], value: object) -> object:
    """A value that the setting may take and does not have."""
    if isinstance(value, bool):
        return not value
    others = [choice for choice in field.metadata["choices"] if choice != value]
    least, most = field.metadata["within"] or (0, 1)
    return others[0] if others else type(value)(most if value == least else least)


#: Refused in other company, or the side at which these pictures are drawn.
APART = (
    "teacher",
    "attention_scale",
    "hashing_saliency",
    "attention_terms",
    "hashing_terms",
    "train_size",
    "code_norm",
)


def state_of(settings: Config) -> dict[str, torch.Tensor]:
    """Weights after training, of the first stream, too, where there are two."""
    method = trained(settings)
    first = method.first.model if isinstance(method, DAgH) and method.first else None
    own = {f"own {key}": value for key, value in method.model.state_dict().items()}
    guide = {} if first is None else first.state_dict()
    return own | {f"first {key}": value for key, value in guide.items()}


@pytest.mark.parametrize("name", METHODS)
def test_settings_that_a_method_does_not_read_change_nothing(name: str) -> None:
    settings = tiny.config(name, **SMALL, **({} if name in ("itq", "lsh") else {"epochs": 2}))
    unread = [f for f in dataclasses.fields(Config) if name not in f.metadata["of"]]
    unread = [f for f in unread if f.name not in APART]
    changes = {f.name: other_value(f, getattr(settings, f.name)) for f in unread}
    one, two = (state_of(s) for s in (settings, settings.replace(**changes)))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", METHODS)
def test_settings_of_single_methods_are_read_by_them(name: str) -> None:
    learnt = {} if name in ("itq", "lsh") else {"epochs": 2}
    settings = tiny.config(name, **SMALL, **learnt, margin=0.0)  # some pairs are within, some not
    one = state_of(settings)
    for field in dataclasses.fields(Config):
        own = field.metadata["of"]
        if name not in own or len(own) > 5 or field.name in APART:
            continue
        value = other_value(field, getattr(settings, field.name))
        two = state_of(settings.replace(**{field.name: value}))
        same = one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
        assert not same, field.name


#: The paper's FCN-16s and VGG-16, dropout and all, at a side and a width that take seconds.
PAPER = {"preset": "paper", "fc_dim": 8, "image_size": 64, "train_size": 64}


@pytest.mark.parametrize("alternate", ["epoch", "batch"])
@pytest.mark.parametrize("network", ["squeezenet1_1", "resnet18", "plain", "the paper's"])
def test_a_step_leaves_the_frozen_network_bit_identical(network: str, alternate: str) -> None:
    changes = {"the paper's": PAPER, "plain": {"code_norm": False}}
    changed = changes.get(network, {"backbone": network})
    settings = tiny.config("dsah", **(SMALL | changed | {"alternate": alternate}))
    method = build_method(settings, 2)
    assert isinstance(method, DSaH)
    batch = next(iter(tiny.training_set(settings).batches(0)))
    method.net.train()
    method.set_rate(0.5)
    for step, frozen, other in (
        (method.attention_step, method.net.hashing, method.net.attention),
        (method.hashing_step, method.net.attention, method.net.hashing),
    ):
        before = {key: value.clone() for key, value in method.net.state_dict().items()}
        learnt = {name for name, p in method.net.named_parameters() if p.requires_grad}
        step(batch, Meter())
        # Buffers too: running statistics of batch normalisation must not move either.
        prefix = next(n for n, m in method.net.named_children() if m is frozen)
        moved = {k for k, v in method.net.state_dict().items() if not torch.equal(v, before[k])}
        assert not any(key.startswith(prefix) for key in moved)
        assert any(not key.startswith(prefix) for key in moved)
        # Each of its layers has a gradient: through the mask and the other network, too.
        for name, p in other.named_parameters():
            assert not p.requires_grad or name.endswith("bias") or p.grad.any(), name
        assert learnt == {name for name, p in method.net.named_parameters() if p.requires_grad}
        assert frozen.training


@pytest.mark.parametrize("alternate", ["joint", "epoch", "batch"])
def test_warmup_epochs_train_hashing_under_an_attention_that_stays(alternate: str) -> None:
    settings = tiny.config("dsah", **(SMALL | {"alternate": alternate, "warmup_epochs": 1}))
    method, data = build_method(settings, 2), tiny.training_set(settings)
    assert isinstance(method, DSaH)
    start = {key: value.clone() for key, value in method.net.state_dict().items()}
    masks: list[torch.Tensor] = []
    method.net.attention.register_forward_hook(lambda *seen: masks.append(seen[2]))

    def moved() -> set[str]:
        now = method.net.state_dict()
        return {key.partition(".")[0] for key in now if not torch.equal(now[key], start[key])}

    assert list(method.epoch(data, 0, 2)) == ["hashing"]
    assert moved() == {"hashing"}
    assert masks  # both views are hashed, as in every hashing step
    method.epoch(data, 1, 2)
    assert moved() == {"attention", "hashing"}


def test_gradients_flow_through_a_frozen_network() -> None:
    layer = torch.nn.Linear(3, 3)
    x = torch.ones(1, 3, requires_grad=True)
    with freeze(layer):
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None
    assert layer.weight.requires_grad


def test_sharing_the_pass_over_the_originals_changes_nothing() -> None:
    settings = tiny.config("dsah", **SMALL, alternate="batch", optimizer="sgd", code_norm=False)
    shared, apart = (build_method(settings, 2) for _ in range(2))
    assert isinstance(shared, DSaH)
    assert isinstance(apart, DSaH)
    assert same_when_frozen(shared.net.hashing)
    for method in (shared, apart):
        method.net.train()
        method.set_rate(0.5)
    batch = next(iter(tiny.training_set(settings).batches(0)))
    shared.both_steps(batch, Meter())
    apart.attention_step(batch, Meter())
    apart.hashing_step(batch, Meter())
    for key, value in shared.net.state_dict().items():
        assert torch.allclose(value, apart.net.state_dict()[key], rtol=1e-4, atol=1e-6), key
    dropout = tiny.config("dsah", **(SMALL | {"dropout": 0.5}))
    assert not same_when_frozen(build_method(dropout, 2).model.hashing)


@pytest.mark.parametrize("name", ["dsah", "dagh", "doh"])
def test_without_attention_one_plain_network_is_trained(name: str) -> None:
    settings = tiny.config(name, **(SMALL | {"attention": False, "epochs": 2}))
    method = trained(settings)
    assert not method.model.has_saliency
    assert isinstance(method, SingleStream) == (name == "dsah")


@pytest.mark.parametrize("terms", ["both", "original", "saliency"])
def test_hashing_terms_choose_what_the_loss_sees(terms: str) -> None:
    changes = {"hashing_terms": terms, "centres": 0.0, "quantization": 0.0, "alternate": "batch"}
    method = build_method(tiny.config("dsah", **(SMALL | changes)), 2)
    assert isinstance(method, DSaH)
    mu, mu_sal = (torch.randn(4, 8).requires_grad_() for _ in range(2))
    targets = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]])
    method.hashing_terms(mu, mu_sal, targets)["loss"].backward()
    assert (mu.grad is not None and bool(mu.grad.any())) == (terms != "saliency")
    assert (mu_sal.grad is not None and bool(mu_sal.grad.any())) == (terms != "original")


def test_dagh_trains_stream_one_then_two() -> None:
    settings = tiny.config("dagh", **(SMALL | {"epochs": 5}))
    method, data = build_method(settings, 2), tiny.training_set(settings)
    steps = [sorted(method.epoch(data, e, 5)) for e in range(5)]
    assert stream_one_epochs(5) == 2
    assert all(s.startswith("guide") for names in steps[:2] for s in names)
    assert steps[2:] == [["student"]] * 3
    assert method.model.has_saliency is False
    with pytest.raises(ConfigError, match="two streams"):
        tiny.config("dagh", epochs=1)


def test_doh_starts_with_classes_alone() -> None:
    assert [class_epochs(n) for n in (3, 4, 20, 60)] == [0, 1, 5, 5]
    settings = tiny.config("doh", **(SMALL | {"epochs": 4}))
    method, data = build_method(settings, 2), tiny.training_set(settings)
    assert [list(method.epoch(data, e, 4)) for e in range(4)] == [["classes"]] + [["hashing"]] * 3


@pytest.mark.parametrize("alternate", ["joint", "epoch"])
@pytest.mark.parametrize("name", ["dsah", "dagh"])
def test_attention_at_half_the_side_is_trained(name: str, alternate: str) -> None:
    settings = tiny.config(
        name,
        image_size=64,
        train_size=64,
        attention_scale=0.5,
        alternate=alternate,
        epochs=2,
        warm_start=0,
    )
    method, data = build_method(settings, 2), tiny.training_set(settings)
    loop = method.first if isinstance(method, DAgH) else method
    assert isinstance(loop, DSaH)
    before = [p.detach().clone() for p in loop.net.attention.parameters()]
    method.epoch(data, 0, 2)
    moved = [
        not torch.equal(a, b) for a, b in zip(before, loop.net.attention.parameters(), strict=True)
    ]
    assert sum(moved) > 0.8 * len(moved)


@pytest.mark.parametrize("changes", [{"sim_loss": "lsrh"}, {"asym": True}, {"arity": 16}])
def test_doh_variants_learn(changes: dict[str, object]) -> None:
    settings = tiny.config("doh", **(SMALL | {"epochs": 16} | changes))
    _, score, contract = codes_of(trained(settings))
    assert score == 1.0
    assert contract.arity == settings.arity


@pytest.mark.parametrize("name", ["dsah", "csq"])
def test_mixed_precision_learns_in_float32_weights(name: str) -> None:
    changes = SMALL | {"epochs": 24} | SPECIAL.get(name, {})
    mixed, full = (trained(tiny.config(name, **changes, precision=p)) for p in ("bf16", "fp32"))
    assert codes_of(mixed)[1] == 1.0
    weights = mixed.model.state_dict()
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float32}
    assert any(not torch.equal(v, full.model.state_dict()[k]) for k, v in weights.items())


def test_nested_prefixes_are_trained() -> None:
    for name in ("dsah", "doh"):
        changes = {"bits": 16, "nested": "8,16", "epochs": 12, "alternate": "joint"}
        method = trained(tiny.config(name, **(SMALL | changes)))
        codes, score, contract = codes_of(method)
        targets = tiny.training_set(method.config).targets.numpy()
        prefix = mean_average_precision(
            codes[:, :1], targets, codes[:, :1], targets, bits=8, symbol_bits=contract.symbol_bits
        )
        assert score == prefix == 1.0, name


def test_itq_is_rotated_principal_axes() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200, 12, generator=rng) * torch.linspace(3, 0.1, 12)
    x = x - x.mean(0)
    w = itq_projection(x, 4, torch.Generator().manual_seed(1))
    assert torch.allclose(w.T @ w, torch.eye(4, dtype=torch.float64), atol=1e-9)
    axes = torch.linalg.eigh(x.double().T @ x.double()).eigenvectors[:, -4:]
    assert torch.allclose(w @ w.T, axes @ axes.T, atol=1e-9)  # the same subspace
    v = x.double() @ axes

    def gap(p: torch.Tensor) -> float:
        return float((torch.where(p >= 0, 1.0, -1.0) - p).square().sum())

    assert gap(x.double() @ w) <= gap(v)  # what the rotation is for
    again = itq_projection(x, 4, torch.Generator().manual_seed(1))
    assert torch.equal(w, again)
    with pytest.raises(ConfigError, match="principal axes"):
        itq_projection(x, 13, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpsh", "dsah", "doh"])
def test_compiled_networks_train_alike(name: str) -> None:
    settings = tiny.config(name, **(SMALL | {"epochs": 2, "optimizer": "sgd"}))
    plain, compiled = trained(settings), trained(settings.replace(compile=True))
    other = compiled.model.state_dict()
    for key, value in plain.model.state_dict().items():
        assert torch.allclose(value, other[key], rtol=1e-4, atol=1e-5), key
