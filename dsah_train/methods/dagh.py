"""Deep Attention-guided Hashing: one stream makes codes, a plain second one learns them.

A reconstruction (methods note 3.2). The first half of the epochs trains stream one, attention and
hashing; its codes of the training pictures then guide stream two, which alone is exported. With a
teacher's codes in the data, stream one is not built and every epoch trains stream two.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from dsah_train.augment import normalise
from dsah_train.batches import Batch, FeatureSet, TrainingSet
from dsah_train.config import Config
from dsah_train.distributed import gather, same_tensor
from dsah_train.losses.dagh import guided_code_loss, likelihood_loss
from dsah_train.losses.pairs import similarity
from dsah_train.methods.dsah import DSaH
from dsah_train.methods.method import Losses, Meter, Method
from dsah_train.methods.single_stream import SingleStream
from dsah_train.methods.warm_start import fit_head
from dsah_train.models import Hasher, PlainHasher, build_attentive, build_plain
from dsah_train.nested import Terms, average_terms

__all__ = ["DAgH", "GuideStream", "stream_one_epochs"]


def stream_one_epochs(epochs: int) -> int:
    """Epochs of stream one; the rest trains stream two."""
    return epochs // 2


class GuideStream(DSaH):
    """Stream one: DSaH's loop with the pair likelihood in place of its semantic loss.

    attention step: alpha J_att + J_sem(Theta'); hashing step: J_sem(Theta) + J_sem(Theta').
    Its network squashes by tanh, so u lies in (-1, 1) and e in [0, 1] without a quantization term.
    """

    def build(self, config: Config, num_classes: int, state: dict[str, Tensor] | None) -> Hasher:
        """The network of stream one, not the one that is exported."""
        return build_attentive(config.replace(code_activation="tanh"), state)

    def view_loss(self, mu: Tensor, targets: Tensor) -> Tensor:
        """J_sem of one view; the layer that is fitted stands before the tanh."""
        return self.likelihood(mu.tanh(), similarity(targets))

    def attention_terms(self, mu: Tensor, mu_sal: Tensor, targets: Tensor) -> Terms:
        """alpha J_att + J_sem(Theta')."""
        similar = similarity(targets)
        saliency = self.saliency_term(mu, mu_sal, similar)
        loss = self.config.alpha * saliency + self.likelihood(mu_sal, similar)
        return {"loss": loss, "saliency": saliency}

    def hashing_terms(self, mu: Tensor, mu_sal: Tensor, targets: Tensor) -> Terms:
        """J_sem(Theta) + J_sem(Theta')."""
        similar = similarity(targets)
        ori, sal = self.likelihood(mu, similar), self.likelihood(mu_sal, similar)
        return {"loss": ori + sal, "semantic": ori, "semantic_sal": sal}

    def likelihood(self, u: Tensor, similar: Tensor) -> Tensor:
        """J_sem, averaged over code lengths."""
        return average_terms(
            self.config.lengths, lambda n: {"loss": likelihood_loss(u[:, :n], similar)}
        )["loss"]


class PlainGuideStream(SingleStream):
    """Stream one without attention: the same likelihood on a plain network."""

    def build(self, config: Config, num_classes: int, state: dict[str, Tensor] | None) -> Hasher:
        """The network of stream one, not the one that is exported."""
        return build_plain(config, state)


class DAgH(Method):
    """Trains a `PlainHasher` on the codes of a first stream or of a teacher."""

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """Stream two's optimiser, and stream one unless there is a teacher."""
        self.net = cast(PlainHasher, self.model)
        self.optimizers = {"student": self.optimizer(self.net.hashing)}
        self.first: Method | None = None
        if not self.config.teacher:
            stream = GuideStream if self.config.attends else PlainGuideStream
            self.first = stream(self.config, self.num_classes, state, str(self.device))
        self.guide: Tensor | None = None

    def prepare(self, data: TrainingSet) -> None:
        """The head start of stream one; stream two has its own when it begins."""
        if self.first is not None:
            self.first.prepare(data)

    def trains_codes(self, epoch: int, epochs: int) -> bool:
        """Not while stream one is trained: stream two is exported alone."""
        return self.first is None or self.guide is not None or epoch >= stream_one_epochs(epochs)

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """One epoch of stream one or two; the guided codes are made once, between them."""
        before = stream_one_epochs(epochs) if self.first is not None else 0
        if self.first is not None and not self.trains_codes(epoch, epochs):
            losses = self.first.epoch(data, epoch, before)
            return {f"guide {step}": terms for step, terms in losses.items()}
        if self.guide is None:
            self.guide = same_tensor(self.guided_codes(data))
            self.start_student(data)
        return self.student_epoch(data, epoch, before, epochs)

    def guided_codes(self, data: TrainingSet) -> Tensor:
        """t = (sign(u') + 1) / 2 of every training picture, uint8 (n, bits).

        In eval mode, without augmentation: the pictures as the exported model sees them.
        """
        if self.first is None:
            assert data.guide is not None  # fit makes a teacher's codes before it trains
            return data.guide.to(self.device)
        network, data = self.first.model.eval(), self.first.inputs(data)
        pictures = data.pictures if data.seen is None else data.seen
        rows: list[Tensor] = []
        with torch.no_grad():
            for part in pictures.split(64):
                if isinstance(data, FeatureSet):
                    activations = network.head(part)
                else:
                    activations = network(normalise(part.to(self.device))).activations
                rows.append((activations >= 0).to(torch.uint8))
        return torch.cat(rows)

    def start_student(self, data: TrainingSet) -> None:
        """Fit stream two's hash layer to frozen features, towards the guided codes."""
        if self.config.warm_start and self.guide is not None:
            features, rows = self.head_inputs(data, self.net)
            goal = self.guide[rows]
            fit_head(self.net.hashing.hash, features, goal, self.code_loss, seed=self.config.seed)

    def student_epoch(self, data: TrainingSet, epoch: int, before: int, epochs: int) -> Losses:
        """One pass of stream two over the data: cross entropy against the guided codes (J_2)."""
        self.net.train()
        data, meter = self.inputs(data), Meter()
        network = self.net.head if isinstance(data, FeatureSet) else self.net.hashing
        for i, batch in enumerate(data.batches(epoch)):
            self.set_rate((epoch - before + i / data.steps) / max(1, epochs - before))
            with self.autocast():
                own = network(batch.images).float()
            loss = self.student_loss(gather(own, len(batch.rows)), batch)
            self.step(loss, "student")
            meter.add("student", len(batch.rows), loss=loss)
        return meter.means()

    def student_loss(self, z: Tensor, batch: Batch) -> Tensor:
        """J_2 of a batch; bits count alone, so prefixes of nested codes only weigh more."""
        assert self.guide is not None
        goal = self.guide[batch.rows]
        config, symbols = self.config, goal.shape[1]

        def terms(bits: int) -> Terms:
            part = bits // config.bits_per_symbol
            return {"loss": self.code_loss(z[:, : z.shape[1] // symbols * part], goal[:, :part])}

        return average_terms(config.lengths, terms)["loss"]

    def code_loss(self, z: Tensor, goal: Tensor) -> Tensor:
        """J_2 of activations against bits, or against symbols of an ordinal teacher."""
        return guided_code_loss(z, goal, arity=self.config.symbol_arity)

    def state_dict(self) -> dict[str, Any]:
        """Both streams and the guided codes."""
        first = None if self.first is None else self.first.state_dict()
        return super().state_dict() | {"first": first, "guide": self.guide}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        super().load_state_dict(state)
        if self.first is not None:
            self.first.load_state_dict(state["first"])
        self.guide = None if state["guide"] is None else state["guide"].to(self.device)
