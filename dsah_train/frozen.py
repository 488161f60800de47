"""Heads on frozen features without a run folder: many methods, lengths and seeds in seconds.

The trunk's features of all pictures are computed once (`pooled_features`); every head is then
trained and measured on them. `fit` with ``train_trunk = false`` trains the same head and writes a
checkpoint that exports like any other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsah_infer.errors import ConfigError
from dsah_train.batches import FeatureSet
from dsah_train.checkpoint import contract_of
from dsah_train.config import Config
from dsah_train.encode import Codes, pack_activations
from dsah_train.hasher import Hasher
from dsah_train.methods.registry import build_method

__all__ = ["head_codes", "train_head"]


def train_head(
    config: Config,
    features: Tensor,
    targets: npt.NDArray[np.uint8],
    state: dict[str, Tensor] | None = None,
) -> Hasher:
    """Train a method's head on frozen features, for all of the config's epochs.

    Args:
        config: Settings with ``train_trunk`` false.
        features: Float32 (n, F) of `pooled_features`, of the trunk with these weights.
        targets: Multi-hot uint8 (n, C).
        state: The trunk's ImageNet weights, so that the network is whole; the head needs none.

    Returns:
        The network in eval mode.

    Raises:
        ConfigError: The config trains the trunk too.
    """
    if config.train_trunk:
        raise ConfigError("heads on frozen features need train_trunk = false")
    method = build_method(config, targets.shape[1], state)
    data = FeatureSet(features, torch.from_numpy(targets), config)
    method.prepare(data)
    for epoch in range(config.epochs):
        method.epoch(data, epoch, config.epochs)
    return method.model.eval()


def head_codes(config: Config, model: Hasher, features: Tensor) -> Codes:
    """Features (n, F) through a network's head, packed as its checkpoint's codes are."""
    with torch.no_grad():
        activations = model.head(features).float().numpy()
    contract = contract_of(config, (), model, {})
    return Codes(pack_activations(activations, contract), activations)
