"""Hashing networks: an image to one activation per bit (DSaH section 3.1, Hash(.))."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dsah_train.backbones import Trunk, load_vgg16_layers, vgg16_features
from dsah_train.distributed import exchange, processes

__all__ = ["LightHashing", "NormalisedLinear", "PaperHashing"]


class NormalisedLinear(nn.Linear):
    """A linear layer with batch normalisation of its outputs, which balances the bits (OrthoHash).

    In eval mode it is one linear layer whose weights hold the normalisation, so that the exported
    graph has nothing more than that of any other method, and computes the same bits.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, outputs)
        self.norm = nn.BatchNorm1d(outputs)
        #: Several processes: whether each has a share of the batch, instead of all of its rows.
        self.shared = True

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, width) to outputs (N, outputs); a batch of one has no spread of its own.

        Where several processes have a share of the batch each, all of them must take part.
        """
        if self.training:
            normalised: Tensor
            outputs = super().forward(features)
            if self.shared and processes() > 1:
                outputs, own = exchange(outputs)
                normalised = self.norm(outputs)[own]
                return normalised
            if len(features) > 1:
                normalised = self.norm(outputs)
                return normalised
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None  # kept by every BatchNorm1d that is not told otherwise
        assert variance is not None
        scale = self.norm.weight * (variance + self.norm.eps).rsqrt()
        bias = (self.bias - mean) * scale + self.norm.bias
        return F.linear(features, self.weight * scale[:, None], bias)


def hash_layer(width: int, outputs: int, normalised: bool = False) -> nn.Linear:
    """The new last layer: linear, no squashing, small start (methods note D3)."""
    layer = NormalisedLinear(width, outputs) if normalised else nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class LightHashing(nn.Module):
    """A light trunk, the mean over its last map, and a hash layer."""

    def __init__(
        self, trunk: Trunk, outputs: int, dropout: float = 0.0, normalised: bool = False
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(dropout)
        self.hash = hash_layer(trunk.spec.channels[2], outputs, normalised)

    def pooled(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to pooled float32 features (N, C)."""
        # mean((2, 3)) exports as one ReduceMean; AdaptiveAvgPool2d + flatten becomes 12 nodes.
        return self.trunk(images).float().mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to activations mu (N, outputs), float32, unbounded."""
        return self.head(self.pooled(images))

    def head(self, pooled: Tensor) -> Tensor:
        """Features (N, C) of `pooled` to activations (N, outputs), float32."""
        activations: Tensor = self.hash(self.dropout(pooled))
        return activations.float()


class PaperHashing(nn.Module):
    """VGG-16 whose last layer is replaced by the hash layer; torchvision's layer names.

    Args:
        outputs: Width of the hash layer.
        state: ImageNet state dict of torchvision's vgg16, or None.
        fc_dim: Width of fc6 and fc7; below 4096 they start at random.
        normalised: Whether a batch normalisation follows the hash layer.
    """

    def __init__(
        self,
        outputs: int,
        state: dict[str, Tensor] | None = None,
        fc_dim: int = 4096,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        self.features = vgg16_features(state)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 49, fc_dim),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(fc_dim, fc_dim),
            nn.ReLU(inplace=True),
            nn.Dropout(),
        )
        load_vgg16_layers(self.classifier, "classifier", state if fc_dim == 4096 else None)
        self.hash = hash_layer(fc_dim, outputs, normalised)

    def pooled(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to float32 features (N, fc_dim) of fc7."""
        maps = self.features(images)
        # At 224 pixels the map is 7 x 7 already and pooling it to 7 x 7 would only add nodes.
        maps = maps if maps.shape[-2:] == (7, 7) else self.avgpool(maps)
        features: Tensor = self.classifier(maps.flatten(1))
        return features.float()

    def head(self, pooled: Tensor) -> Tensor:
        """Features (N, fc_dim) of `pooled` to activations (N, outputs), float32."""
        activations: Tensor = self.hash(pooled)
        return activations.float()

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to activations mu (N, outputs), float32, unbounded."""
        return self.head(self.pooled(images))
