"""One trial: train on one part of the training pictures, and search it with the other."""

from __future__ import annotations

from dsah_train.backbones import load_weights
from dsah_train.config import Config
from dsah_train.methods.registry import build_method
from dsah_train.pictures import Pictures
from dsah_train.validation import validation_map

__all__ = ["trained_map"]


def trained_map(config: Config, rest: Pictures, held_out: Pictures) -> float:
    """MAP@all of the held-out pictures in the rest, after all epochs of the config."""
    classes = rest.part.targets.shape[1]
    method = build_method(config, classes, load_weights(config.backbone, "auto"))
    data = rest.training_set(config)
    method.prepare(data)
    for epoch in range(config.epochs):
        method.epoch(data, epoch, config.epochs)
    return validation_map(method, rest, held_out)
