"""Deep Ordinal Hashing: two branches trained end to end, classes first (a reconstruction)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from dsah_train.batches import FeatureSet, TrainingSet
from dsah_train.distributed import gather
from dsah_train.losses.doh import (
    class_loss,
    difference_loss,
    lsrh_loss,
    match,
    ordinal,
    winners,
)
from dsah_train.losses.pairs import similarity
from dsah_train.methods.method import Losses, Meter, Method
from dsah_train.nested import Terms, average_terms
from dsah_train.ordinal import OrdinalHasher

__all__ = ["DOH", "class_epochs"]


def class_epochs(epochs: int) -> int:
    """Epochs of the class loss alone: attention by class evidence needs a classifier first."""
    return min(5, epochs // 4)


class DOH(Method):
    """Trains an `OrdinalHasher` by L_sim + eta L_cls, after a start by L_cls alone."""

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """One optimiser over both branches."""
        self.net = cast(OrdinalHasher, self.model)
        self.optimizers = {"hashing": self.optimizer(self.net)}

    def trains_codes(self, epoch: int, epochs: int) -> bool:
        """Not while the class layers are trained alone."""
        return epoch >= class_epochs(epochs)

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """One pass over the data."""
        self.net.train()
        data, meter = self.inputs(data), Meter()
        frozen = isinstance(data, FeatureSet)
        network = self.net.global_branch if frozen else self.net.branches
        for i, batch in enumerate(data.batches(epoch)):
            self.set_rate((epoch + i / data.steps) / epochs)
            with self.autocast():
                own = network(batch.images)
            count = len(batch.rows)
            logits = [gather(o, count) for o in own.logits]
            multi = self.config.multi_label
            each = [class_loss(o, batch.targets, multi_label=multi) for o in logits]
            classes = torch.stack(each).sum()
            if not self.trains_codes(epoch, epochs):
                self.step(classes, "hashing")
                meter.add("classes", count, loss=classes)
                continue
            terms = self.pair_terms(gather(own.activations, count), batch.targets)
            terms["classes"] = classes
            terms["loss"] = terms["similarity"] + self.config.eta * classes
            self.step(terms["loss"], "hashing")
            meter.add("hashing", count, **terms)
        return meter.means()

    def pair_terms(self, h: Tensor, targets: Tensor) -> Terms:
        """L_sim of the soft symbols, averaged over code lengths."""
        config, similar = self.config, similarity(targets)

        def terms(bits: int) -> Terms:
            prefix = h[:, : bits // config.bits_per_symbol * config.arity]
            p = ordinal(prefix, config.arity, config.beta)
            matches = match(p, winners(prefix, config.arity) if config.asym else p)
            loss = difference_loss if config.sim_loss == "difference" else lsrh_loss
            return {"similarity": loss(matches, similar)}

        return average_terms(config.lengths, terms)
