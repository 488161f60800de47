"""ITQ and LSH: projections of frozen features, written into the hash layer.

They export, search and are measured like all others; only nothing is trained by gradients.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from dsah_infer.errors import ConfigError
from dsah_train.batches import TrainingSet
from dsah_train.features import pooled_features
from dsah_train.methods.method import Losses, Method
from dsah_train.models import PlainHasher

__all__ = ["Shallow", "itq_projection", "lsh_projection"]


def lsh_projection(features: Tensor, bits: int, rng: torch.Generator) -> Tensor:
    """Random hyperplanes through the mean (Charikar, STOC 2002).

    Args:
        features: Centred features (n, F).
        bits: k.
        rng: The source of chance.

    Returns:
        Float64 (F, k), standard normal.
    """
    return torch.randn(features.shape[1], bits, generator=rng, dtype=torch.float64)


def itq_projection(
    features: Tensor, bits: int, rng: torch.Generator, iterations: int = 50
) -> Tensor:
    """Iterative Quantization (Gong and Lazebnik, CVPR 2011): principal axes, then a rotation.

    Minimises ||B - V R||_F over B in {-1, 1} and orthogonal R in turns (Eq. 2): B = sign(V R),
    then R = S' S^T from the singular value decomposition S Omega S'^T of B^T V.

    Args:
        features: Centred features (n, F).
        bits: k, at most n and F.
        rng: The source of chance of the first rotation.
        iterations: Turns; the paper's 50.

    Returns:
        Float64 (F, k).

    Raises:
        ConfigError: More bits than features or pictures.
    """
    if bits > min(features.shape):
        raise ConfigError(
            f"itq needs bits = {bits} principal axes; {features.shape[0]} pictures with "
            f"{features.shape[1]} features have {min(features.shape)} at most"
        )
    x = features.double()
    axes = torch.linalg.eigh(x.T @ x).eigenvectors.flip(1)[:, :bits]
    # The sign of an eigenvector is the library's choice; fixed, the codes are repeatable.
    axes = axes * torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
    v = x @ axes
    rotation = torch.linalg.qr(torch.randn(bits, bits, generator=rng, dtype=torch.float64)).Q
    for _ in range(iterations):
        b = torch.where(v @ rotation >= 0, 1.0, -1.0).double()
        left, _, right = torch.linalg.svd(b.T @ v)
        rotation = right.T @ left.T
    return axes @ rotation


class Shallow(Method):
    """Fits the hash layer of a `PlainHasher` in one epoch; later epochs change nothing."""

    def setup(self, state: dict[str, Tensor] | None) -> None:
        """No optimiser: nothing is trained by gradients."""
        self.net = cast(PlainHasher, self.model)

    def epoch(self, data: TrainingSet, epoch: int, epochs: int) -> Losses:
        """Features of all pictures without augmentation, one projection."""
        frozen = self.inputs(data)
        if frozen is data and self.config.train_trunk:
            pictures = data.pictures if data.seen is None else data.seen
            features = pooled_features(self.net, pictures)
        else:
            features = frozen.pictures
        x = features.double().cpu()
        mean = x.mean(0)
        rng = torch.Generator().manual_seed(self.config.seed)
        project = itq_projection if self.config.method == "itq" else lsh_projection
        weight = project(x - mean, self.config.bits, rng)
        projected = (x - mean) @ weight
        gap = (projected.abs() - 1).abs().mean()
        layer = self.net.hashing.hash
        with torch.no_grad():
            layer.weight.copy_(weight.T)
            layer.bias.copy_(-mean @ weight)  # sign((x - mean) W) as one linear layer
        return {"fit": {"loss": float(gap)}}
