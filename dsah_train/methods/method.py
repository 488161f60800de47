"""What every method shares: a model, its optimisers, a step, and a state to resume from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dsah_train.batch_norm import normalise_together
from dsah_train.batches import FeatureSet, TrainingSet
from dsah_train.config import Config
from dsah_train.distributed import gather, sum_gradients
from dsah_train.features import pooled_features
from dsah_train.models import Hasher, build_model

__all__ = ["Losses", "Meter", "Method", "freeze", "learning_rate", "uses_bf16"]

#: Epoch numbers of the views that `Method.head_inputs` draws; far from those of any training.
WARM_START_EPOCH = 1_000_000

#: Mean of each value, by step: ``{"hashing": {"loss": ..., "semantic": ...}, ...}``.
Losses = dict[str, dict[str, float]]


def learning_rate(config: Config, progress: float) -> float:
    """Factor on the learning rates at ``progress`` in [0, 1] of the training."""
    if config.schedule == "step":
        return 0.01 if progress >= 0.85 else 0.1 if progress >= 0.6 else 1.0
    warm = min(1.0, progress / 0.05) if progress < 0.05 else 1.0
    return max(0.02, warm) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@contextlib.contextmanager
def freeze(module: nn.Module) -> Iterator[None]:
    """Hold a network fixed: eval mode and no gradients of its own (methods note D7).

    Gradients still flow through it to its input.
    """
    wanted = [p for p in module.parameters() if p.requires_grad]
    was_training = module.training
    module.eval()
    for p in wanted:
        p.requires_grad_(False)
    try:
        yield
    finally:
        module.train(was_training)
        for p in wanted:
            p.requires_grad_(True)


class Meter:
    """Means over an epoch of each step's loss and terms, weighted by batch size."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Tensor | float]] = {}
        self._counts: dict[str, int] = {}

    def add(self, step: str, count: int, **values: Tensor) -> None:
        """Add the values of one batch of ``count`` pictures under the name of the step."""
        sums = self._sums.setdefault(step, {})
        self._counts[step] = self._counts.get(step, 0) + count
        for name, value in values.items():
            # Stays on the device: reading a number would make the host wait for it every step.
            sums[name] = sums.get(name, 0.0) + value.detach().double() * count

    def means(self) -> dict[str, dict[str, float]]:
        """Mean of each value, by step."""
        return {
            step: {name: float(total) / self._counts[step] for name, total in sums.items()}
            for step, sums in self._sums.items()
        }


class Method:
    """Base of the methods; a subclass names its networks in `setup` and writes its `epoch`.

    Args:
        config: Settings.
        num_classes: C.
        state: ImageNet weights of the backbone, or None for random ones.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...

    Attributes:
        model: The network that is exported.
        optimizers: By name; each network that takes turns has its own.
    """

    _features: tuple[TrainingSet, FeatureSet] | None = None

    def __init__(
        self,
        config: Config,
        num_classes: int,
        state: dict[str, Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config
        self.num_classes = num_classes
        self.device = torch.device(device)
        torch.manual_seed(config.seed)
        model = self.build(config, num_classes, state)
        # channels_last: convolutions of bf16 and on CPUs are made for it (bench/encode.py).
        self.model: Hasher = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.compile:
            # The networks, not the whole: steps call them by themselves, and masks in between.
            for network in self.model.children():
                network.compile()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.setup(state)
        # A frozen trunk uses the statistics that it has.
        if self.optimizers and config.train_trunk:
            normalise_together(self.model, self.device)

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """What else a method needs before its first epoch: optimisers, centres, other networks."""

    def build(self, config: Config, num_classes: int, state: dict[str, Tensor] | None) -> Hasher:
        """The network that is trained; what `build_model` names, unless it is not exported."""
        return build_model(config, num_classes, state)

    def prepare(self, data: TrainingSet) -> None:
        """What happens once before the first epoch; nothing, unless a method says otherwise."""

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """Train one epoch of ``epochs``; returns the means of each step's loss and terms."""
        raise TypeError(f"{type(self).__name__} does not say how it trains")

    def trains_codes(self, epoch: int, epochs: int) -> bool:
        """Whether this epoch trains the codes of the exported network: no start by something else.

        Once it does, it does so to the end, also when ``epochs`` shrinks on the way.
        """
        return True

    def inputs(self, data: TrainingSet) -> TrainingSet:
        """The pictures, or their features where the trunk is frozen (computed once)."""
        if self.config.train_trunk or isinstance(data, FeatureSet):
            return data
        if self._features is None or self._features[0] is not data:
            pictures = data.pictures if data.seen is None else data.seen
            features = pooled_features(self.model, pictures)
            frozen = FeatureSet(features, data.targets, self.config, guide=data.guide)
            self._features = (data, frozen)
        return self._features[1]

    def head_inputs(self, data: TrainingSet, network: Hasher) -> tuple[Tensor, Tensor]:
        """What the layers behind the trunk are fitted to before the first epoch.

        Returns:
            Features (m, F) of ``config.warm_start`` random views, or the frozen features, and
            their rows of the data (m,).
        """
        data = self.inputs(data)
        if isinstance(data, FeatureSet):
            return data.pictures, torch.arange(len(data))
        features, rows = [], []
        network.eval()
        with torch.no_grad(), self.autocast():
            for view in range(self.config.warm_start):
                # Views far from those of any epoch: the same pictures, other crops.
                for batch in data.batches(WARM_START_EPOCH + view):
                    features.append(gather(network.pooled(batch.images).float(), len(batch.rows)))
                    rows.append(batch.rows)
        return torch.cat(features), torch.cat(rows)

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """The configured optimiser over a module: trunk layers at a fraction of the rate."""
        new: list[Tensor] = []
        old: list[Tensor] = []
        for name, p in module.named_parameters():
            pretrained = bool({"trunk", "features", "classifier"} & set(name.split(".")[:2]))
            if pretrained and not self.config.train_trunk:
                p.requires_grad_(False)
            if p.requires_grad:
                (old if pretrained else new).append(p)
        groups: list[dict[str, Any]] = [
            {"params": old, "base": self.config.lr * self.config.trunk_lr},
            {"params": new, "base": self.config.lr},
        ]
        decay = self.config.weight_decay
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=self.config.lr, momentum=0.9, weight_decay=decay)
        return torch.optim.AdamW(groups, lr=self.config.lr, weight_decay=decay)

    def set_rate(self, progress: float) -> float:
        """Set all learning rates for this point of the training; returns the rate of new layers."""
        factor = learning_rate(self.config, progress)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * factor
        return self.config.lr * factor

    def autocast(self) -> torch.autocast:
        """Mixed precision as configured; losses are computed outside of it, in float32."""
        kind = self.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=uses_bf16(self.config, kind))

    def step(self, loss: Tensor, *names: str) -> None:
        """Backward, then clip and update with the optimisers of these names."""
        chosen = [self.optimizers[name] for name in names]
        for optimizer in chosen:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in chosen:
            params = [p for group in optimizer.param_groups for p in group["params"]]
            sum_gradients(params)
            torch.nn.utils.clip_grad_norm_(params, self.config.clip)
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def uses_bf16(config: Config, device: str) -> bool:
    """Whether to compute in bfloat16: asked for, or ``auto`` on hardware that has it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
