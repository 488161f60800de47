"""Ordinal losses: twins, LSRH's published gradient, and the laws of K-ary codes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_infer.contract import STORED_SYMBOL_BITS, pack_bits, pack_symbols, unpack_bits
from dsah_train.losses.doh import class_loss, difference_loss, lsrh_loss, match, ordinal, winners
from dsah_train.losses.pairs import similarity
from tests import reference_losses as slow
from tests.reference import distance

TARGETS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.uint8)
S = similarity(TARGETS).double()


def activations(seed: int, segments: int = 3, arity: int = 4) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(5, segments * arity, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("arity", [2, 4])
@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_losses_equal_their_twins(arity: int, beta: float) -> None:
    h = activations(0, arity=arity)
    p = ordinal(h, arity, beta)
    matches = match(p, p)
    got = float(difference_loss(matches, S))
    assert got == pytest.approx(slow.difference(h.tolist(), S.tolist(), arity, beta), rel=1e-9)
    for weight in (1.0, 0.1):
        got = float(lsrh_loss(matches, S, weight))
        want = slow.lsrh(h.tolist(), S.tolist(), arity, beta, weight)
        assert got == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_lsrh_gradient_is_the_published_one(weight: float) -> None:
    beta = 2.0
    h = activations(1).requires_grad_()
    p = ordinal(h, 4, beta)
    lsrh_loss(match(p, p), S, weight).backward()
    want = slow.lsrh_gradient(h.tolist(), S.tolist(), 4, beta, weight)
    assert h.grad is not None
    assert torch.allclose(h.grad, torch.tensor(want, dtype=torch.float64), atol=1e-12)


def test_gradients_equal_finite_differences() -> None:
    h = activations(2).requires_grad_()
    codes = winners(h, 4)

    def terms(h: torch.Tensor) -> torch.Tensor:
        p = ordinal(h, 4)
        return difference_loss(match(p, p), S) + difference_loss(match(p, codes), S)

    assert torch.autograd.gradcheck(terms, (h,))


def test_asymmetric_form_counts_both_orders() -> None:
    h = activations(3)
    p, b = ordinal(h, 4), winners(h, 4)
    gaps = [
        (float(S[i, j]) - float((p[i] * b[j]).sum()) / 3) ** 2
        for i, j in itertools.permutations(range(5), 2)
    ]
    assert float(difference_loss(match(p, b), S)) == pytest.approx(np.mean(gaps), rel=1e-9)


@given(st.integers(0, 2**31 - 1), st.sampled_from([2, 4, 8, 16]), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_distance_is_the_number_of_differing_symbols(seed: int, arity: int, segments: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    h = torch.randn(2, segments * arity, generator=rng)
    b = winners(h, arity)
    want = segments - float((b[0] * b[1]).sum())  # D = R - sum b.b
    one_hot = pack_bits(b.flatten(1).numpy())
    assert distance(one_hot[0], one_hot[1], segments * arity) / 2 == want
    symbol_bits = STORED_SYMBOL_BITS[arity]
    packed = pack_symbols(b.argmax(-1).numpy(), symbol_bits)
    assert distance(packed[0], packed[1], segments * symbol_bits, symbol_bits) == want


def test_two_values_are_one_sign_bit() -> None:
    h = torch.randn(4, 24, generator=torch.Generator().manual_seed(0))
    symbols = winners(h, 2).argmax(-1).numpy()
    pairs = h.view(4, 12, 2)
    # Symbol 0 wins a tie and is stored as 0: the bit says that the second entry is larger.
    bits = (pairs[..., 1] > pairs[..., 0]).numpy()
    assert (unpack_bits(pack_symbols(symbols, 1), 12) == bits).all()


def test_class_loss_of_one_and_of_several_labels() -> None:
    logits = activations(4)[:, :3]
    single = torch.eye(3)[[0, 1, 0, 2, 2]].double()
    want = -torch.log_softmax(logits, 1)[range(5), [0, 1, 0, 2, 2]].mean()
    assert float(class_loss(logits, single, multi_label=False)) == pytest.approx(float(want))
    hot = TARGETS.double()
    p = logits.sigmoid()
    want = -(hot * p.log() + (1 - hot) * (1 - p).log()).mean()
    assert float(class_loss(logits, TARGETS, multi_label=True)) == pytest.approx(float(want))
