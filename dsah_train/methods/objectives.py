"""What one stream minimises, by method: activations and targets to a loss with its parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dsah_train.config import Config
from dsah_train.losses.centres import centre_loss
from dsah_train.losses.csq import central_similarity_loss, picture_centres
from dsah_train.losses.dagh import likelihood_loss
from dsah_train.losses.dhn import log_cosh_gap, pairwise_cross_entropy
from dsah_train.losses.dpsh import code_gap, pairwise_likelihood_loss
from dsah_train.losses.dsah import pair_distance, quantization_loss, semantic_loss
from dsah_train.losses.dsh import contrastive_loss, unit_gap
from dsah_train.losses.hashnet import BETA_LAST, weighted_likelihood_loss
from dsah_train.losses.orthohash import cosine_margin_loss
from dsah_train.losses.pairs import similarity
from dsah_train.nested import Terms, average_terms, nested_centres

__all__ = ["OBJECTIVES", "Objective", "objective_of"]

#: ``objective(u, targets, progress)`` with activations u (N, bits), multi-hot targets (N, C) and
#: the progress of the training in [0, 1].
Objective = Callable[[Tensor, Tensor, float], Terms]
#: ``(config, centres, u, targets, progress)``; one code length, centres (C, bits).
_Formula = Callable[[Config, Tensor, Tensor, Tensor, float], Terms]


def dsah(c: Config, centres: Tensor, mu: Tensor, targets: Tensor, _: float) -> Terms:
    """One view's share of Eq. 13: lambda J_sem + J_reg, and the class-centre term."""
    # pair_sum grows with the batch; this keeps the ratio of the terms at any number of rows.
    scale = c.batch_size / len(mu)
    semantic = scale * semantic_loss(pair_distance(mu, similarity(targets)), c.pair_power)
    terms = {"semantic": semantic, "quantization": quantization_loss(mu)}
    loss = c.lambda_ * semantic + c.quantization * terms["quantization"]
    if c.centres:
        terms["centre"] = centre_loss(mu, targets, centres, c.centre_scale)
        loss = loss + c.centres * terms["centre"]
    return {"loss": loss, **terms}


def dagh(c: Config, centres: Tensor, h: Tensor, targets: Tensor, _: float) -> Terms:
    """DAgH's first stream without attention: the likelihood of tanh codes."""
    return {"loss": likelihood_loss(h.tanh(), similarity(targets))}


def dsh(c: Config, centres: Tensor, u: Tensor, targets: Tensor, _: float) -> Terms:
    """Contrastive loss with margin 2k, and codes pulled to -1 and 1."""
    return _sum(c, contrastive_loss(u, similarity(targets), 2.0 * c.bits), unit_gap(u))


def dpsh(c: Config, centres: Tensor, u: Tensor, targets: Tensor, _: float) -> Terms:
    """Pairwise likelihood, and the squared gap to the codes."""
    return _sum(c, pairwise_likelihood_loss(u, similarity(targets)), code_gap(u))


def dhn(c: Config, centres: Tensor, u: Tensor, targets: Tensor, _: float) -> Terms:
    """Pairwise cross entropy of tanh codes, and a smooth gap to -1 and 1."""
    z = u.tanh()
    return _sum(c, pairwise_cross_entropy(z, similarity(targets)), log_cosh_gap(z))


def hashnet(c: Config, centres: Tensor, u: Tensor, targets: Tensor, progress: float) -> Terms:
    """Weighted likelihood of tanh(beta u), beta growing from 1 to 10: no quantization term."""
    beta = 1 + (BETA_LAST - 1) * progress
    loss = weighted_likelihood_loss((beta * u).tanh(), similarity(targets), 10 / c.bits)
    return {"loss": loss}


def csq(c: Config, centres: Tensor, u: Tensor, targets: Tensor, _: float) -> Terms:
    """Cross entropy to the class's centre, and a smooth gap to -1 and 1."""
    pulled = central_similarity_loss(u, picture_centres(targets, centres))
    return _sum(c, pulled, log_cosh_gap(u.tanh()))


def orthohash(c: Config, centres: Tensor, u: Tensor, targets: Tensor, _: float) -> Terms:
    """Cosine softmax to the class centres with a margin."""
    return {"loss": cosine_margin_loss(u, targets, centres, c.centre_scale, c.margin)}


def _sum(c: Config, similarity_term: Tensor, gap: Tensor) -> Terms:
    loss = similarity_term + c.quantization * gap
    return {"loss": loss, "similarity": similarity_term, "quantization": gap}


OBJECTIVES: dict[str, _Formula] = {
    "dsah": dsah,
    "dagh": dagh,
    "dsh": dsh,
    "dpsh": dpsh,
    "dhn": dhn,
    "hashnet": hashnet,
    "csq": csq,
    "orthohash": orthohash,
}


def objective_of(config: Config, classes: int, device: torch.device) -> Objective:
    """The objective of the config's method, averaged over its code lengths."""
    formula = OBJECTIVES[config.method]
    centres = nested_centres(classes, config.lengths, config.seed).to(device)
    by_length = {n: config.replace(bits=n, nested="", teacher="") for n in config.lengths}

    def objective(u: Tensor, targets: Tensor, progress: float) -> Terms:
        return average_terms(
            config.lengths,
            lambda n: formula(by_length[n], centres[:, :n], u[:, :n], targets, progress),
        )

    return objective
