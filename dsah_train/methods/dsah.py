"""Deep Saliency Hashing: attention and hashing networks that take turns (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from dsah_train.batches import Batch, TrainingSet
from dsah_train.distributed import gather
from dsah_train.losses.centres import centre_loss
from dsah_train.losses.dsah import (
    pair_distance,
    quantization_loss,
    saliency_loss,
    semantic_loss,
)
from dsah_train.losses.pairs import similarity
from dsah_train.methods.method import Losses, Meter, Method, freeze
from dsah_train.methods.warm_start import fit_head
from dsah_train.models import AttentiveHasher, Hasher
from dsah_train.nested import Terms, average_terms, nested_centres

__all__ = ["DSaH", "same_when_frozen"]

Step = Callable[[Batch, Meter], None]


def same_when_frozen(module: nn.Module) -> bool:
    """Whether a network gives the same activations in train mode as in eval mode."""
    return not any(
        isinstance(layer, nn.modules.batchnorm._BatchNorm)
        or (isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0)
        for layer in module.modules()
    )


class _Views(Hasher):
    """Features of pictures and of their saliency pictures, for the warm start."""

    def __init__(self, net: AttentiveHasher) -> None:
        super().__init__()
        self.net = net

    def pooled(self, images: Tensor) -> Tensor:
        masked = self.net.saliency_image(images, self.net.saliency_map(images))
        hashing = self.net.hashing
        # (N, 2, F): the rows of both views stay together when processes gather them.
        return torch.stack([hashing.pooled(images), hashing.pooled(masked)], 1)


class DSaH(Method):
    """Trains an `AttentiveHasher` by Eq. 13 and 14, or by Eq. 18 when ``alternate`` is joint."""

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """Class centres, and an optimiser for each network."""
        self.net = cast(AttentiveHasher, self.model)
        config = self.config
        centres = nested_centres(self.num_classes, config.lengths, config.seed)
        self.centres = centres.to(self.device)
        self.optimizers = {
            "attention": self.optimizer(self.net.attention),
            "hashing": self.optimizer(self.net.hashing),
        }

    def prepare(self, data: TrainingSet) -> None:
        """Fit the hash layer to frozen features of pictures and saliency pictures."""
        if not self.config.warm_start:
            return
        features, rows = self.head_inputs(data, _Views(self.net))
        fit_head(
            self.net.hashing.hash,
            features.flatten(0, 1),
            data.targets[rows].repeat_interleave(2, 0),
            self.view_loss,
            seed=self.config.seed,
        )

    def view_loss(self, mu: Tensor, targets: Tensor) -> Tensor:
        """One view's share of Eq. 13 at the size of a training batch: semantic, J_reg, centres."""
        similar = similarity(targets)
        # pair_sum grows with the batch; this keeps the ratio of the terms that training has.
        scale = self.config.lambda_ * self.config.batch_size / len(mu)

        def terms(n: int) -> Terms:
            distance = pair_distance(mu[:, :n], similar)
            loss = scale * semantic_loss(distance, self.config.pair_power)
            return {"loss": loss + self.placing(mu[:, :n], targets)}

        return average_terms(self.config.lengths, terms)["loss"]

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """One pass of attention steps and one of hashing steps, by epoch or batch by batch."""
        self.net.train()
        meter = Meter()
        # One epoch is one pass of each step, whoever goes first (Algorithm 1, lines 4 and 5).
        orders: dict[str, list[Step]] = {
            "epoch": [self.attention_step, self.hashing_step],
            "batch": [self.both_steps],
            "joint": [self.joint_step],
        }
        passes = orders[self.config.alternate]
        # Attention is not trained against a hash layer that says nothing yet, but it does mask.
        if epoch < self.config.warmup_epochs:
            passes = [self.hashing_step]
        for turn, step in enumerate(passes):
            for i, batch in enumerate(data.batches(epoch, turn)):
                self.set_rate((epoch + (turn + i / data.steps) / len(passes)) / epochs)
                step(batch, meter)
        return meter.means()

    def attention_step(self, batch: Batch, meter: Meter, mu: Tensor | None = None) -> None:
        """Theta_2 fixed: alpha J_sal + lambda J_sem_sal + J_reg_sal (Eq. 14).

        Args:
            batch: The pictures.
            meter: Takes the losses.
            mu: Activations of the pictures where they are known already.
        """
        with freeze(self.net.hashing), self.autocast():
            if mu is None:
                with torch.no_grad():
                    mu = self.net.hash(batch.images).float()
            saliency = self.net.saliency_map(batch.images)
            mu_sal = self.net.hash(self.net.saliency_image(batch.images, saliency)).float()
        count = len(batch.rows)
        terms = self.attention_terms(gather(mu, count), gather(mu_sal, count), batch.targets)
        self.step(terms["loss"], "attention")
        meter.add("attention", count, **terms)

    def hashing_step(self, batch: Batch, meter: Meter, mu: Tensor | None = None) -> None:
        """Theta_1 fixed: lambda (J_sem_ori + J_sem_sal) + J_reg_ori + J_reg_sal (Eq. 13).

        Args:
            batch: The pictures.
            meter: Takes the losses.
            mu: Activations of the pictures, with their graph, where they are known already.
        """
        with self.autocast():
            with freeze(self.net.attention), torch.no_grad():
                masked = self.net.saliency_image(batch.images, self.net.saliency_map(batch.images))
            if mu is None:
                # Both views in one pass: the same sums, half the launches.
                mu, mu_sal = self.net.hash(torch.cat([batch.images, masked])).float().chunk(2)
            else:
                mu_sal = self.net.hash(masked).float()
        count = len(batch.rows)
        terms = self.hashing_terms(gather(mu, count), gather(mu_sal, count), batch.targets)
        self.step(terms["loss"], "hashing")
        meter.add("hashing", count, **terms)

    def both_steps(self, batch: Batch, meter: Meter) -> None:
        """Both steps on one batch; the attention step leaves Theta_2, hence mu, as it was."""
        mu = None
        if same_when_frozen(self.net.hashing):
            with self.autocast():
                mu = self.net.hash(batch.images).float()
        self.attention_step(batch, meter, None if mu is None else mu.detach())
        self.hashing_step(batch, meter, mu)

    def joint_step(self, batch: Batch, meter: Meter) -> None:
        """Both networks at once: lambda J_sem + alpha J_sal + J_reg, d_ij attached (Eq. 18)."""
        with self.autocast():
            masked = self.net.saliency_image(batch.images, self.net.saliency_map(batch.images))
            both = self.net.hash(torch.cat([batch.images, masked])).float()
        count = len(batch.rows)
        mu, mu_sal = (gather(view, count) for view in both.chunk(2))
        terms = self.hashing_terms(mu, mu_sal, batch.targets)
        terms["saliency"] = self.saliency_term(mu, mu_sal, similarity(batch.targets))
        terms["loss"] = terms["loss"] + self.config.alpha * terms["saliency"]
        self.step(terms["loss"], "attention", "hashing")
        meter.add("joint", count, **terms)

    def attention_terms(self, mu: Tensor, mu_sal: Tensor, targets: Tensor) -> Terms:
        """Eq. 14, the class-centre term, and their parts; averaged over code lengths."""
        config, similar = self.config, similarity(targets)

        def terms(n: int) -> Terms:
            view = mu_sal[:, :n]
            loss = self.placing(view, targets)
            if config.attention_terms != "saliency":
                distance = pair_distance(view, similar)
                loss = loss + config.lambda_ * semantic_loss(distance, config.pair_power)
            return {"loss": loss}

        result = average_terms(config.lengths, terms)
        result["saliency"] = self.saliency_term(mu, mu_sal, similar)
        if config.attention_terms != "semantic":
            result["loss"] = result["loss"] + config.alpha * result["saliency"]
        return result

    def hashing_terms(self, mu: Tensor, mu_sal: Tensor, targets: Tensor) -> Terms:
        """Eq. 13, the class-centre term, and their parts; averaged over code lengths.

        ``hashing_saliency`` adds alpha J_sal with both distances attached (Table 4, first row).
        """
        config, similar = self.config, similarity(targets)

        def terms(n: int) -> Terms:
            views = mu[:, :n], mu_sal[:, :n]
            ori, sal = (semantic_loss(pair_distance(v, similar), config.pair_power) for v in views)
            loss = self.placing(views[0], targets) + self.placing(views[1], targets)
            if config.hashing_terms != "saliency":
                loss = loss + config.lambda_ * ori
            if config.hashing_terms != "original":
                loss = loss + config.lambda_ * sal
            return {"loss": loss, "semantic": ori, "semantic_sal": sal}

        result = average_terms(config.lengths, terms)
        if config.hashing_saliency:
            result["saliency"] = self.saliency_term(mu, mu_sal, similar)
            result["loss"] = result["loss"] + config.alpha * result["saliency"]
        return result

    def saliency_term(self, mu: Tensor, mu_sal: Tensor, similar: Tensor) -> Tensor:
        """J_sal (Eq. 10), averaged over code lengths."""
        config = self.config

        def terms(n: int) -> Terms:
            margin = config.margin if config.margin_scale == "normalized" else n / 4
            d, d_sal = pair_distance(mu[:, :n], similar), pair_distance(mu_sal[:, :n], similar)
            return {"saliency": saliency_loss(d, d_sal, margin)}

        return average_terms(config.lengths, terms)["saliency"]

    def placing(self, mu: Tensor, targets: Tensor) -> Tensor:
        """What places each picture by itself: J_reg and, where it is on, the class-centre term."""
        config = self.config
        loss = config.quantization * quantization_loss(mu)
        if config.centres:
            centres = self.centres[:, : mu.shape[1]]
            loss = loss + config.centres * centre_loss(mu, targets, centres, config.centre_scale)
        return loss
