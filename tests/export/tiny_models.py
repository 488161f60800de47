"""Checkpoints with seeded random weights, small enough to export in a test."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dsah_infer.contract import STORED_SYMBOL_BITS, CodeContract, PixelRule
from dsah_train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dsah_train.config import Config
from dsah_train.models import Encoded, Hasher, build_model

SIZE = 64
CLASSES = ("anemone", "bluebell", "crocus")


def spread(model: Hasher) -> Hasher:
    """Give a random network the statistics of a trained one: normalised maps, wide activations.

    Untrained running statistics are 0 and 1, under which deep random networks shrink their input
    to nothing and every activation to its bias.
    """
    torch.manual_seed(1)
    pictures = torch.randn(8, 3, SIZE, SIZE)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches seen
    model.train()
    with torch.no_grad():
        model(pictures)
    return model.eval()


def write_checkpoint(path: Path, **settings: object) -> Checkpoint:
    """A checkpoint of these settings with random weights, as a training run leaves it."""
    values = {"image_size": SIZE, "bits": 12, "fc_dim": 32, "dropout": 0.0} | settings
    config = Config.with_preset(**values)
    torch.manual_seed(0)
    model = spread(build_model(config, len(CLASSES)))
    save_checkpoint(path, model=model, config=config, class_names=CLASSES, metrics={"map": 0.5})
    return load_checkpoint(path)


def method_checkpoint(path: Path, method: str) -> Checkpoint:
    """A checkpoint of any trained or shallow method, on a small backbone that it can take."""
    settings = {"doh": {"arity": 4}}.get(method, {"backbone": "alexnet"})
    return write_checkpoint(path, method=method, **settings)


class OrdinalHasher(Hasher):
    """A small network with ordinal codes: K activations per segment, the largest is the symbol."""

    def __init__(self, segments: int, arity: int) -> None:
        super().__init__()
        self.symbol_arity = arity
        self.activations = segments * arity
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=4), nn.ReLU()
        )
        self.scores = nn.Linear(16, self.activations)

    def forward(self, images: Tensor) -> Encoded:
        return Encoded(self.scores(self.trunk(images).mean((2, 3))), None)


def ordinal_checkpoint(segments: int, arity: int) -> Checkpoint:
    """A checkpoint in memory around an `OrdinalHasher`."""
    torch.manual_seed(arity)
    symbol_bits = STORED_SYMBOL_BITS[arity]
    contract = CodeContract(
        method="doh",
        bits=segments * symbol_bits,
        symbol_bits=symbol_bits,
        arity=arity,
        info_bits=segments * (arity.bit_length() - 1),
        activations=segments * arity,
        pixels=PixelRule(size=SIZE),
        class_names=CLASSES,
        space="ordinal",
    )
    model = OrdinalHasher(segments, arity).eval()
    config = Config(method="doh", bits=contract.info_bits, arity=arity, image_size=SIZE)
    return Checkpoint(model, config, contract, {})
