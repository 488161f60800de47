"""Deep Saliency Hashing: attention and hashing networks that take turns (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from dsah_train.batches import Batch, TrainingSet
from dsah_train.config import Config
from dsah_train.losses.centres import centre_loss, class_centres
from dsah_train.losses.dsah import (
    pair_distance,
    quantization_loss,
    saliency_loss,
    semantic_loss,
)
from dsah_train.losses.pairs import similarity
from dsah_train.methods.method import Losses, Meter, Method, freeze
from dsah_train.methods.warm_start import fit_head
from dsah_train.models import AttentiveHasher

__all__ = ["DSaH"]

#: Epoch numbers of the views that `DSaH.prepare` draws; far from those of any training.
WARM_START_EPOCH = 1_000_000

Step = Callable[[Batch, Meter], None]


class DSaH(Method):
    """Trains an `AttentiveHasher` by Eq. 13 and 14, or by Eq. 18 when ``alternate`` is joint."""

    def __init__(
        self,
        config: Config,
        num_classes: int,
        state: dict[str, Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(config, num_classes, state, device)
        self.net = cast(AttentiveHasher, self.model)
        self.centres = class_centres(num_classes, config.bits, config.seed).to(self.device)
        self.margin = config.margin if config.margin_scale == "normalized" else config.bits / 4
        self.optimizers = {
            "attention": self.optimizer(self.net.attention),
            "hashing": self.optimizer(self.net.hashing),
        }

    def prepare(self, data: TrainingSet) -> None:
        """Fit the hash layer to frozen features of pictures and saliency pictures."""
        hashing = self.net.hashing
        if not self.config.warm_start:
            return
        features: list[Tensor] = []
        targets: list[Tensor] = []
        self.net.eval()
        with torch.no_grad(), self.autocast():
            for view in range(self.config.warm_start):
                # Views far from those of any epoch: the same pictures, other crops.
                for batch in data.batches(WARM_START_EPOCH + view):
                    masked = self.net.saliency_image(
                        batch.images, self.net.saliency_map(batch.images)
                    )
                    features += [hashing.pooled(batch.images), hashing.pooled(masked)]
                    targets += [batch.targets, batch.targets]
        fit_head(
            hashing.hash,
            torch.cat(features).float(),
            torch.cat(targets),
            self.view_loss,
            seed=self.config.seed,
        )

    def view_loss(self, mu: Tensor, targets: Tensor) -> Tensor:
        """One view's share of Eq. 13 at the size of a training batch: semantic, J_reg, centres."""
        config = self.config
        distance = pair_distance(mu, similarity(targets))
        # pair_sum grows with the batch; this keeps the ratio of the terms that training has.
        loss = semantic_loss(distance, config.pair_power) * (config.batch_size / len(mu))
        loss = config.lambda_ * loss + config.quantization * quantization_loss(mu)
        if config.centres:
            loss = loss + config.centres * centre_loss(
                mu, targets, self.centres, config.centre_scale
            )
        return loss

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """One pass of attention steps and one of hashing steps, by epoch or batch by batch."""
        self.net.train()
        meter = Meter()
        # One epoch is one pass of each step, whoever goes first (Algorithm 1, lines 4 and 5).
        steps = -(-len(data) // self.config.batch_size)
        orders: dict[str, list[list[Step]]] = {
            "epoch": [[self.attention_step], [self.hashing_step]],
            "batch": [[self.attention_step, self.hashing_step]],
            "joint": [[self.joint_step]],
        }
        passes = orders[self.config.alternate]
        for turn, taken in enumerate(passes):
            for i, batch in enumerate(data.batches(epoch, turn)):
                self.set_rate((epoch + (turn + i / steps) / len(passes)) / epochs)
                for step in taken:
                    if epoch >= self.config.warmup_epochs or step != self.attention_step:
                        step(batch, meter)
        return meter.means()

    def attention_step(self, batch: Batch, meter: Meter) -> None:
        """Theta_2 fixed: alpha J_sal + lambda J_sem_sal + J_reg_sal (Eq. 14)."""
        config, similar = self.config, similarity(batch.targets)
        with freeze(self.net.hashing), self.autocast():
            with torch.no_grad():
                mu = self.net.hash(batch.images).float()
            saliency = self.net.saliency_map(batch.images)
            mu_sal = self.net.hash(self.net.saliency_image(batch.images, saliency)).float()
        d, d_sal = pair_distance(mu, similar), pair_distance(mu_sal, similar)
        loss = config.quantization * quantization_loss(mu_sal)
        j_sal = saliency_loss(d, d_sal, self.margin)
        if config.attention_terms != "semantic":
            loss = loss + config.alpha * j_sal
        if config.attention_terms != "saliency":
            loss = loss + config.lambda_ * semantic_loss(d_sal, config.pair_power)
        if config.centres:
            loss = loss + config.centres * centre_loss(
                mu_sal, batch.targets, self.centres, config.centre_scale
            )
        self.step(loss, "attention")
        meter.add("attention", len(mu), loss=loss, saliency=j_sal)

    def hashing_step(self, batch: Batch, meter: Meter) -> None:
        """Theta_1 fixed: lambda (J_sem_ori + J_sem_sal) + J_reg_ori + J_reg_sal (Eq. 13)."""
        config, similar = self.config, similarity(batch.targets)
        with self.autocast():
            with freeze(self.net.attention), torch.no_grad():
                masked = self.net.saliency_image(batch.images, self.net.saliency_map(batch.images))
            # Both views in one pass: the same sums, half the launches.
            both = self.net.hash(torch.cat([batch.images, masked])).float()
        mu, mu_sal = both.chunk(2)
        loss = config.quantization * (quantization_loss(mu) + quantization_loss(mu_sal))
        sem_ori = semantic_loss(pair_distance(mu, similar), config.pair_power)
        sem_sal = semantic_loss(pair_distance(mu_sal, similar), config.pair_power)
        if config.hashing_terms != "saliency":
            loss = loss + config.lambda_ * sem_ori
        if config.hashing_terms != "original":
            loss = loss + config.lambda_ * sem_sal
        centre = mu.new_zeros(())
        if config.centres:
            for view in (mu, mu_sal):
                centre = centre + centre_loss(
                    view, batch.targets, self.centres, config.centre_scale
                )
            loss = loss + config.centres * centre
        self.step(loss, "hashing")
        meter.add(
            "hashing", len(mu), loss=loss, semantic=sem_ori, semantic_sal=sem_sal, centre=centre
        )

    def joint_step(self, batch: Batch, meter: Meter) -> None:
        """Both networks at once: lambda J_sem + alpha J_sal + J_reg, d_ij attached (Eq. 18)."""
        config, similar = self.config, similarity(batch.targets)
        with self.autocast():
            masked = self.net.saliency_image(batch.images, self.net.saliency_map(batch.images))
            both = self.net.hash(torch.cat([batch.images, masked])).float()
        mu, mu_sal = both.chunk(2)
        d, d_sal = pair_distance(mu, similar), pair_distance(mu_sal, similar)
        sem_ori = semantic_loss(d, config.pair_power)
        sem_sal = semantic_loss(d_sal, config.pair_power)
        j_sal = saliency_loss(d, d_sal, self.margin)
        loss = config.quantization * (quantization_loss(mu) + quantization_loss(mu_sal))
        loss = loss + config.lambda_ * (sem_ori + sem_sal) + config.alpha * j_sal
        if config.centres:
            for view in (mu, mu_sal):
                loss = loss + config.centres * centre_loss(
                    view, batch.targets, self.centres, config.centre_scale
                )
        self.step(loss, "attention", "hashing")
        meter.add(
            "joint", len(mu), loss=loss, saliency=j_sal, semantic=sem_ori, semantic_sal=sem_sal
        )
