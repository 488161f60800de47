"""DSaH's terms against loops over the published sums, and the laws that pin its equations."""

from __future__ import annotations

import itertools

import pytest
import torch

from dsah_train.losses.centres import centre_loss, class_centres
from dsah_train.losses.dsah import pair_distance, quantization_loss, saliency_loss, semantic_loss
from dsah_train.losses.pairs import pair_sum, similarity
from tests import reference_losses as slow

TARGETS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.uint8)


def activations(seed: int = 0, n: int = 5, k: int = 6, *, bound: float = 2.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (torch.rand(n, k, generator=rng, dtype=torch.float64) * 2 - 1) * bound


def signs(*rows: str) -> torch.Tensor:
    return torch.tensor([[1.0 if c == "+" else -1.0 for c in row] for row in rows])


def test_similarity_is_a_shared_class() -> None:
    assert similarity(TARGETS).tolist() == slow.similar(TARGETS.tolist())


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_semantic_equals_its_twin(seed: int, power: int) -> None:
    mu, s = activations(seed), similarity(TARGETS)
    want = slow.semantic(mu.tolist(), s.tolist(), power)
    assert float(semantic_loss(pair_distance(mu, s), power)) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("margin", [0.25, 1.5])
def test_saliency_equals_its_twin(margin: float) -> None:
    mu, mu_sal, s = activations(1), activations(2), similarity(TARGETS)
    want = slow.saliency(mu.tolist(), mu_sal.tolist(), s.tolist(), margin)
    got = saliency_loss(pair_distance(mu, s), pair_distance(mu_sal, s), margin)
    assert float(got) == pytest.approx(want, rel=1e-9)


def test_quantization_equals_its_twin() -> None:
    mu = activations(3)
    assert float(quantization_loss(mu)) == pytest.approx(slow.quantization(mu.tolist()), rel=1e-9)


def test_centre_loss_equals_its_twin() -> None:
    mu, centres = activations(4), class_centres(3, 6).double()
    want = slow.centre(mu.tolist(), TARGETS.tolist(), centres.tolist(), 8.0)
    assert float(centre_loss(mu, TARGETS, centres, 8.0)) == pytest.approx(want, rel=1e-6)


def test_gradients_equal_finite_differences() -> None:
    s = similarity(TARGETS).double()
    mu, mu_sal = activations(5).requires_grad_(), activations(6).requires_grad_()
    centres = class_centres(3, 6).double()

    def terms(mu: torch.Tensor, mu_sal: torch.Tensor) -> torch.Tensor:
        d, d_sal = pair_distance(mu, s), pair_distance(mu_sal, s)
        total = semantic_loss(d, 1) + semantic_loss(d_sal, 2) + saliency_loss(d, d_sal, 0.25)
        return total + quantization_loss(mu) + centre_loss(mu_sal, TARGETS, centres, 3.0)

    assert torch.autograd.gradcheck(terms, (mu, mu_sal))


def test_e_is_one_minus_hamming_over_k() -> None:
    codes = signs("++++", "+++-", "--++", "----")
    d = pair_distance(codes, torch.zeros(4, 4))  # with S = 0, d = |e| = e
    for i, j in itertools.product(range(4), repeat=2):
        hamming = int((codes[i] != codes[j]).sum())
        assert float(d[i, j]) == 1 - hamming / 4


def test_semantic_is_zero_only_for_complementary_classes() -> None:
    targets = torch.tensor([[1, 0], [1, 0], [0, 1]])
    s = similarity(targets)
    assert float(semantic_loss(pair_distance(signs("+-+-", "+-+-", "-+-+"), s))) == 0
    assert float(semantic_loss(pair_distance(signs("+-+-", "+-+-", "-+--"), s))) > 0
    assert float(semantic_loss(pair_distance(signs("+-+-", "+-++", "-+-+"), s))) > 0


def test_three_classes_cannot_reach_zero() -> None:
    s = similarity(torch.eye(3))
    rows = list(itertools.product((-1.0, 1.0), repeat=3))
    best = min(
        float(semantic_loss(pair_distance(torch.tensor(c), s)))
        for c in itertools.product(rows, repeat=3)
    )
    assert best > 0


def test_literal_margin_is_never_inactive_and_the_normalised_one_is() -> None:
    k, s = 12, similarity(TARGETS).double()
    for seed in range(20):
        mu, mu_sal = activations(seed, k=k, bound=1.0), activations(seed + 99, k=k, bound=1.0)
        d, d_sal = pair_distance(mu, s), pair_distance(mu_sal, s)
        upper = torch.ones(5, 5, dtype=torch.bool).triu(1)
        assert bool(((k / 4 - d + d_sal)[upper] > 0).all())
        # D1: the hinge then is a constant plus the difference of the two sums.
        want = k / 4 * int(upper.sum()) / 5 + float(pair_sum(d_sal) - pair_sum(d))
        assert float(saliency_loss(d, d_sal, k / 4)) == pytest.approx(want, rel=1e-9)
    worst, best = signs("++", "--").repeat(1, 3), signs("++", "++").repeat(1, 3)
    both = torch.ones(2, 2)
    assert float(saliency_loss(pair_distance(worst, both), pair_distance(best, both), 0.25)) == 0


def test_quantization_gradient_points_to_a_constant_sign() -> None:
    mu = torch.tensor([[0.3, -0.2, 1.7, -2.0, 0.0]], requires_grad=True)
    quantization_loss(mu).backward()
    assert mu.grad is not None
    # d|mu - b| / dmu = sign(mu - b); sign(0) is +1, so 0 is pulled up.
    assert mu.grad.tolist() == [[-1.0, 1.0, 1.0, -1.0, -1.0]]


@pytest.mark.parametrize("same", [True, False])
def test_batches_of_one_kind_of_pair_stay_finite(same: bool) -> None:
    targets = torch.tensor([[1, 0]] * 3) if same else torch.eye(3)
    mu = activations(7, n=3).requires_grad_()
    d = pair_distance(mu, similarity(targets))
    loss = semantic_loss(d, 2) + saliency_loss(d.detach(), d, 0.25) + quantization_loss(mu)
    loss.backward()
    assert torch.isfinite(loss)
    assert mu.grad is not None
    assert bool(torch.isfinite(mu.grad).all())
    assert bool((mu.grad != 0).any())


def test_order_of_the_batch_does_not_matter() -> None:
    mu, order = activations(8), torch.tensor([3, 0, 4, 1, 2])
    d = pair_distance(mu, similarity(TARGETS))
    shuffled = pair_distance(mu[order], similarity(TARGETS[order]))
    assert float(semantic_loss(d)) == pytest.approx(float(semantic_loss(shuffled)), rel=1e-12)


@pytest.mark.parametrize(("classes", "bits", "least"), [(2, 8, 8), (17, 12, 4), (17, 48, 20)])
def test_centres_are_far_apart_and_repeatable(classes: int, bits: int, least: int) -> None:
    centres = class_centres(classes, bits)
    assert set(centres.unique().tolist()) == {-1.0, 1.0}
    distance = (bits - centres @ centres.T) / 2
    assert float(distance[~torch.eye(classes, dtype=torch.bool)].min()) >= least
    assert torch.equal(centres, class_centres(classes, bits))
    assert not torch.equal(centres, class_centres(classes, bits, seed=1))
