"""The rivals' and DAgH's losses against loops over the published sums."""

from __future__ import annotations

import math

import pytest
import torch

from dsah_train.losses.centres import class_centres
from dsah_train.losses.csq import central_similarity_loss, picture_centres
from dsah_train.losses.dagh import guided_code_loss, likelihood_loss
from dsah_train.losses.dhn import log_cosh_gap, pairwise_cross_entropy
from dsah_train.losses.dpsh import code_gap, pairwise_likelihood_loss
from dsah_train.losses.dsh import contrastive_loss, unit_gap
from dsah_train.losses.hashnet import weighted_likelihood_loss
from dsah_train.losses.orthohash import cosine_margin_loss
from dsah_train.losses.pairs import similarity
from tests import reference_losses as slow

TARGETS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.uint8)
S = similarity(TARGETS).double()
CENTRES = class_centres(3, 6).double()
SYMBOLS = torch.tensor([[0, 2], [1, 1], [2, 0], [0, 0], [1, 2]], dtype=torch.uint8)


def activations(seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(5, 6, generator=rng, dtype=torch.float64)


#: name: (fast, slow), both functions of activations.
LOSSES = {
    "dpsh": (lambda u: pairwise_likelihood_loss(u, S), lambda u: slow.dpsh(u, S.tolist())),
    "dpsh gap": (code_gap, slow.dpsh_gap),
    "dsh": (lambda u: contrastive_loss(u, S, 12.0), lambda u: slow.dsh(u, S.tolist(), 12.0)),
    "dsh gap": (unit_gap, slow.dsh_gap),
    "dhn": (lambda z: pairwise_cross_entropy(z, S), lambda z: slow.dhn(z, S.tolist())),
    "dhn gap": (log_cosh_gap, slow.dhn_gap),
    "hashnet": (
        lambda z: weighted_likelihood_loss(z, S, 10 / 6),
        lambda z: slow.hashnet(z, S.tolist(), 10 / 6),
    ),
    "csq": (
        lambda u: central_similarity_loss(u, picture_centres(TARGETS, CENTRES)),
        lambda u: slow.csq(u, TARGETS.tolist(), CENTRES.tolist()),
    ),
    "orthohash": (
        lambda u: cosine_margin_loss(u, TARGETS, CENTRES, 8.0, 0.2),
        lambda u: slow.orthohash(u, TARGETS.tolist(), CENTRES.tolist(), 8.0, 0.2),
    ),
    "dagh likelihood": (  # a sum over the 10 pairs, divided by 5 pictures
        lambda u: likelihood_loss(u, S),
        lambda u: 2 * slow.dpsh(u, S.tolist()),
    ),
    "dagh guided": (
        lambda z: guided_code_loss(z, (CENTRES[[0, 1, 2, 0, 1]] + 1) / 2, 3.0),
        lambda z: slow.guided(z, ((CENTRES[[0, 1, 2, 0, 1]] + 1) / 2).tolist(), 3.0),
    ),
    "dagh guided by symbols": (  # 6 activations: two segments of three values
        lambda z: guided_code_loss(z, SYMBOLS, 3.0, arity=3),
        lambda z: slow.guided_symbols(z, SYMBOLS.tolist(), 3, 3.0),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_its_twin(name: str, seed: int) -> None:
    fast, twin = LOSSES[name]
    u = activations(seed)
    assert float(fast(u)) == pytest.approx(twin(u.tolist()), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_finite_differences(name: str) -> None:
    assert torch.autograd.gradcheck(LOSSES[name][0], (activations(9).requires_grad_(),))


@pytest.mark.parametrize("targets", [torch.eye(3), torch.tensor([[1, 0]] * 3)])
@pytest.mark.parametrize("loss", [pairwise_likelihood_loss, weighted_likelihood_loss])
def test_batches_of_one_kind_of_pair_stay_finite(loss, targets: torch.Tensor) -> None:
    u = activations(1)[:3].float().requires_grad_()
    extra = (0.5,) if loss is weighted_likelihood_loss else ()
    value = loss(u, similarity(targets), *extra)
    value.backward()
    assert torch.isfinite(value)
    assert bool(torch.isfinite(u.grad).all())
    assert bool(u.grad.any())


def test_all_zero_codes_give_log_two() -> None:
    assert float(pairwise_likelihood_loss(torch.zeros(4, 8), torch.eye(4))) == pytest.approx(
        math.log(2)
    )


def test_large_activations_do_not_overflow() -> None:
    u = torch.full((2, 64), 1e4)
    u[1] *= -1
    for value in (log_cosh_gap(u), pairwise_cross_entropy(u, torch.eye(2))):
        assert torch.isfinite(value)


def test_guided_loss_is_smallest_at_the_guides_signs() -> None:
    guide = torch.tensor([[1.0, 0.0, 1.0]])
    right = torch.tensor([[2.0, -2.0, 2.0]])
    at = guided_code_loss(right, guide)
    for bit in range(3):
        flipped = right.clone()
        flipped[0, bit] *= -1
        assert float(guided_code_loss(flipped, guide)) > float(at)
    assert float(guided_code_loss(100 * right, guide)) == pytest.approx(0, abs=1e-6)
