"""The networks that are trained and exported: normalised images to activations and saliency."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsah_infer.contract import IMAGENET_MEAN, IMAGENET_STD
from dsah_train.attention import LightAttention, PaperAttention, min_max, shrunk_side
from dsah_train.backbones import build_trunk
from dsah_train.config import Config
from dsah_train.hasher import Encoded, Hasher
from dsah_train.hashing import LightHashing, PaperHashing
from dsah_train.ordinal import build_ordinal

__all__ = [
    "AttentiveHasher",
    "Encoded",
    "Hasher",
    "PlainHasher",
    "build_attentive",
    "build_model",
    "build_plain",
]


class PlainHasher(Hasher):
    """One hashing network on the plain image: rivals, and the second stream of DAgH.

    Args:
        hashing: Images to activations (N, A).
        arity: Values of one symbol; K where a student learns ordinal codes.
    """

    def __init__(self, hashing: LightHashing | PaperHashing, arity: int = 2) -> None:
        super().__init__()
        self.hashing = hashing
        self.symbol_arity = arity
        self.activations = hashing.hash.out_features

    def forward(self, images: Tensor) -> Encoded:
        """Encode float32 images (N, 3, S, S)."""
        return Encoded(self.hashing(images), None)

    def pooled(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to the features (N, F) that the hash layer reads."""
        return self.hashing.pooled(images)

    def head(self, pooled: Tensor) -> Tensor:
        """Features (N, F) of `pooled` to activations (N, A)."""
        return self.hashing.head(pooled)


class AttentiveHasher(Hasher):
    """Attention and hashing in sequence: code = sign(Hash(Sal * x)) (DSaH Eq. 4, 15-17).

    Args:
        attention: Images to raw attention (N, 1, S, S).
        hashing: Images to activations (N, A); shared by images and saliency images.
        config: Scale of attention, mask space, range gradient, squashing.
    """

    has_saliency = True

    def __init__(
        self,
        attention: LightAttention | PaperAttention,
        hashing: LightHashing | PaperHashing,
        config: Config,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.hashing = hashing
        self.activations = hashing.hash.out_features
        self.scale = config.attention_scale
        self.detach_range = config.detach_range
        self.pixel_mask = config.mask_space == "pixel"
        self.squash = config.code_activation == "tanh"
        # Where black lies after normalisation: the pixel-space mask fades to it.
        self.black: Tensor
        black = -torch.tensor(IMAGENET_MEAN) / torch.tensor(IMAGENET_STD)
        self.register_buffer("black", black.view(1, 3, 1, 1), persistent=False)

    def saliency_map(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to Sal (N, 1, S, S) in [0, 1] (Eq. 2-3)."""
        return min_max(self.raw_attention(images), detach_range=self.detach_range)

    def raw_attention(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to A (N, 1, S, S), by way of a smaller picture if so configured."""
        side = shrunk_side(images.shape[-1], self.scale, self.attention.multiple)
        if side == images.shape[-1]:
            maps: Tensor = self.attention(images)
            return maps
        # From S to S / 2 bilinear sampling is the mean of 2 x 2 pixels, so nothing aliases.
        small = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        return F.interpolate(
            self.attention(small), size=images.shape[-2:], mode="bilinear", align_corners=False
        )

    def saliency_image(self, images: Tensor, saliency: Tensor) -> Tensor:
        """Sal * x (Eq. 4), on normalised values or on pixels."""
        if self.pixel_mask:
            return saliency * (images - self.black) + self.black
        return saliency * images

    def hash(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to activations (N, A)."""
        activations: Tensor = self.hashing(images)
        return activations.tanh() if self.squash else activations

    def forward(self, images: Tensor) -> Encoded:
        """Encode float32 images (N, 3, S, S) through the saliency path (Eq. 16-17)."""
        saliency = self.saliency_map(images)
        activations = self.hash(self.saliency_image(images, saliency))
        return Encoded(activations, saliency[:, 0])


def build_model(config: Config, num_classes: int, state: dict[str, Tensor] | None = None) -> Hasher:
    """Build the network that a config names: the one that is exported.

    Args:
        config: Method, backbone and sizes.
        num_classes: C, used by methods with class layers.
        state: ImageNet state dict of the whole torchvision backbone, or None for random weights.

    Raises:
        ConfigError: Unknown backbone.
    """
    if config.method == "doh":
        return build_ordinal(config, num_classes, state)
    # dagh exports its second stream, which is a plain network.
    if config.method == "dsah" and config.attends:
        return build_attentive(config, state)
    return build_plain(config, state)


def build_plain(config: Config, state: dict[str, Tensor] | None = None) -> PlainHasher:
    """One hashing network on the plain image."""
    return PlainHasher(_hashing(config, state), config.symbol_arity)


def build_attentive(config: Config, state: dict[str, Tensor] | None = None) -> AttentiveHasher:
    """Attention and hashing networks of DSaH and of DAgH's first stream."""
    if config.backbone == "vgg16":
        attention: LightAttention | PaperAttention = PaperAttention(state, config.fc_dim)
    else:
        trunk = build_trunk(config.backbone, state)
        attention = LightAttention(trunk, energy=config.attention_start == "energy")
    return AttentiveHasher(attention, _hashing(config, state), config)


def _hashing(config: Config, state: dict[str, Tensor] | None) -> LightHashing | PaperHashing:
    # Sign codes have one activation a bit, ordinal ones K a symbol.
    arity = config.symbol_arity
    outputs = config.bits if arity == 2 else config.bits // config.bits_per_symbol * arity
    if config.backbone == "vgg16":
        return PaperHashing(outputs, state, config.fc_dim, config.code_norm)
    trunk = build_trunk(config.backbone, state)
    return LightHashing(trunk, outputs, config.dropout, config.code_norm)
