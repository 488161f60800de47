"""What a step minimises: the published sums, put together as the settings say."""

from __future__ import annotations

import pytest
import torch

from dsah_infer.errors import ConfigError
from dsah_train.config import Config
from dsah_train.losses.pairs import similarity
from dsah_train.methods.dagh import DAgH, GuideStream
from dsah_train.methods.doh import DOH
from dsah_train.methods.dsah import DSaH
from dsah_train.methods.method import Meter
from dsah_train.methods.registry import build_method
from tests import reference_losses as slow
from tests.train import tiny

TARGETS = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
S = similarity(TARGETS).tolist()
RNG = torch.Generator().manual_seed(0)
MU, MU_SAL = (1.5 * torch.randn(5, 8, generator=RNG, dtype=torch.float64) for _ in range(2))
#: Eq. 13 and 14 alone: no class centres, distances as published.
PUBLISHED = {
    "centres": 0.0,
    "pair_power": 1,
    "alternate": "batch",
    "warm_start": 0,
    "code_norm": False,
}


def dsah(**changes: object) -> DSaH:
    method = build_method(tiny.config("dsah", **(PUBLISHED | changes)), 3)
    assert isinstance(method, DSaH)
    return method


def parts(margin: float = 0.25) -> dict[str, float]:
    """Every sum of Eq. 13, 14 and 18 by plain loops."""
    mu, sal = MU.tolist(), MU_SAL.tolist()
    return {
        "sem": slow.semantic(mu, S, 1),
        "sem_sal": slow.semantic(sal, S, 1),
        "sal": slow.saliency(mu, sal, S, margin),
        "reg": slow.quantization(mu),
        "reg_sal": slow.quantization(sal),
    }


#: Table 4: losses of the hashing step / of the attention step, by flags.
TABLE_4 = {
    "sem+sal / sem+sal": {"hashing_saliency": True},
    "sem / sem": {"attention_terms": "semantic"},
    "sem / sal": {"attention_terms": "saliency"},
    "sem / sem+sal": {},
}


@pytest.mark.parametrize("row", TABLE_4)
def test_table_4_by_its_flags(row: str) -> None:
    method, p = dsah(**TABLE_4[row]), parts()
    of_hashing, of_attention = row.split(" / ")
    want = 30 * (p["sem"] + p["sem_sal"]) + p["reg"] + p["reg_sal"]
    want += 40 * p["sal"] if "sal" in of_hashing else 0
    assert float(method.hashing_terms(MU, MU_SAL, TARGETS)["loss"]) == pytest.approx(want)
    want = p["reg_sal"]
    want += 30 * p["sem_sal"] if "sem" in of_attention else 0
    want += 40 * p["sal"] if "sal" in of_attention else 0
    assert float(method.attention_terms(MU, MU_SAL, TARGETS)["loss"]) == pytest.approx(want)


def test_a_literal_margin_is_a_quarter_of_the_bits() -> None:
    p = parts(margin=8 / 4)
    got = dsah(margin_scale="literal").attention_terms(MU, MU_SAL, TARGETS)["loss"]
    assert float(got) == pytest.approx(p["reg_sal"] + 30 * p["sem_sal"] + 40 * p["sal"])


def test_the_simultaneous_step_minimises_eq_18_in_both_networks() -> None:
    method = dsah(alternate="joint", lambda_=60.0, alpha=0.01)
    batch = next(iter(tiny.training_set(method.config).batches(0)))
    method.net.train()
    method.set_rate(0.5)
    with torch.no_grad():
        mu = method.net.hash(batch.images)
        masked = method.net.saliency_image(batch.images, method.net.saliency_map(batch.images))
        mu_sal = method.net.hash(masked)
    rows, sal, s = mu.tolist(), mu_sal.tolist(), slow.similar(batch.targets.tolist())
    want = 60 * (slow.semantic(rows, s, 1) + slow.semantic(sal, s, 1))
    want += 0.01 * slow.saliency(rows, sal, s, 0.25)
    want += slow.quantization(rows) + slow.quantization(sal)
    before = {name: value.clone() for name, value in method.net.state_dict().items()}
    meter = Meter()
    method.joint_step(batch, meter)
    assert meter.means()["joint"]["loss"] == pytest.approx(want, rel=1e-3)
    moved = {n.split(".")[0] for n, v in method.net.state_dict().items() if (v != before[n]).any()}
    assert moved == {"attention", "hashing"}


def test_the_saliency_term_of_the_hashing_step_pulls_both_views_apart() -> None:
    method = dsah(hashing_saliency=True, lambda_=0.0, quantization=0.0)
    mu, mu_sal = MU.clone().requires_grad_(), MU_SAL.clone().requires_grad_()
    method.hashing_terms(mu, mu_sal, TARGETS)["loss"].backward()
    assert mu.grad is not None
    assert bool(mu.grad.any())  # d_ij attached: the attention step alone holds it fixed
    assert mu_sal.grad is not None
    assert bool(mu_sal.grad.any())


def test_weights_of_the_papers_presets() -> None:
    def weights(**changes: object) -> tuple[float, float]:
        config = Config.with_preset(preset="paper", method="dsah", **changes)
        return config.lambda_, config.alpha

    assert weights() == weights(alternate="batch") == (30, 40)
    assert weights(alternate="joint") == (60, 0.01)
    assert weights(alternate="joint", alpha=1.0) == (60, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_terms": "semantic", "alternate": "joint"},
        {"hashing_saliency": True, "alternate": "joint"},
        {"hashing_saliency": True, "attention": False},
        {"attention_terms": "saliency", "method": "dagh"},
        {"hashing_terms": "original", "method": "dpsh"},
        {"hashing_terms": "saliency", "train_trunk": False},
    ],
)
def test_terms_that_would_be_ignored_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"_terms|hashing_saliency"):
        Config.from_dict({"alternate": "epoch"} | changes)


def test_stream_one_of_dagh_has_the_likelihood_in_place_of_the_distance() -> None:
    method = build_method(tiny.config("dagh", **PUBLISHED), 3)
    assert isinstance(method, DAgH)
    guide = method.first
    assert isinstance(guide, GuideStream)
    u, u_sal = MU.tanh(), MU_SAL.tanh()
    pairs_per_picture = 10 / 5  # `slow.dpsh` is a mean over pairs, J_sem a sum over pairs / N
    ori, sal = (pairs_per_picture * slow.dpsh(v.tolist(), S) for v in (u, u_sal))
    attention = slow.saliency(u.tolist(), u_sal.tolist(), S, 0.25)
    got = guide.hashing_terms(u, u_sal, TARGETS)["loss"]
    assert float(got) == pytest.approx(ori + sal)
    got = guide.attention_terms(u, u_sal, TARGETS)["loss"]
    assert float(got) == pytest.approx(attention + sal)  # alpha is 1


@pytest.mark.parametrize("arity", [2, 4, 8, 16])
@pytest.mark.parametrize("sim_loss", ["difference", "lsrh"])
def test_doh_compares_soft_symbols_of_every_arity(arity: int, sim_loss: str) -> None:
    settings = tiny.config("doh", bits=12, arity=arity, sim_loss=sim_loss, beta=1.5)
    method = build_method(settings, 3)
    assert isinstance(method, DOH)
    width = method.model.activations
    h = torch.randn(5, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = float(method.pair_terms(h, TARGETS)["similarity"])
    if sim_loss == "difference":
        want = slow.difference(h.tolist(), S, arity, 1.5)
    else:
        want = slow.lsrh(h.tolist(), S, arity, 1.5, 1.0)
    assert got == pytest.approx(want, rel=1e-6)
