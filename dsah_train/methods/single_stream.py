"""One network, one loss, one loop: the rivals, and DSaH's loss without attention."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from dsah_train.batches import FeatureSet, TrainingSet
from dsah_train.distributed import gather
from dsah_train.methods.method import Losses, Meter, Method
from dsah_train.methods.objectives import objective_of
from dsah_train.methods.warm_start import fit_head
from dsah_train.models import PlainHasher

__all__ = ["SingleStream"]


class SingleStream(Method):
    """Trains a `PlainHasher` by the objective of the config's method."""

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """The method's objective, and one optimiser."""
        self.net = cast(PlainHasher, self.model)
        self.objective = objective_of(self.config, self.num_classes, self.device)
        self.optimizers = {"hashing": self.optimizer(self.net.hashing)}

    def prepare(self, data: TrainingSet) -> None:
        """Fit the hash layer to frozen features."""
        if not self.config.warm_start:
            return
        features, rows = self.head_inputs(data, self.net)
        fit_head(
            self.net.hashing.hash,
            features,
            data.targets[rows],
            lambda u, targets: self.objective(u, targets, 0.0)["loss"],
            seed=self.config.seed,
        )

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """One pass over the data."""
        self.net.train()
        data, meter = self.inputs(data), Meter()
        network = self.net.head if isinstance(data, FeatureSet) else self.net.hashing
        for i, batch in enumerate(data.batches(epoch)):
            progress = (epoch + i / data.steps) / epochs
            self.set_rate(progress)
            with self.autocast():
                own = network(batch.images).float()
            u = gather(own, len(batch.rows))
            terms = self.objective(u, batch.targets, progress)
            self.step(terms["loss"], "hashing")
            meter.add("hashing", len(u), **terms)
        return meter.means()
