"""Attention networks: an image to one saliency value per pixel (DSaH Eq. 2-3).

Both follow FCN-16s: class scores at two strides are replaced by one value per cell, the coarser
map is brought to the finer one's grid and added, and the sum is brought to the image's size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsah_train.backbones import Trunk, load_vgg16_layers, vgg16_features

__all__ = ["LightAttention", "PaperAttention", "bilinear_kernel", "min_max", "shrunk_side"]

#: Below this range a map carries no preference and is read as "everything" (methods note D8).
FLAT = 1e-6


def min_max(maps: Tensor, *, detach_range: bool = False) -> Tensor:
    """Scale each map to [0, 1] by its own extremes (DSaH Eq. 3).

    A map whose range is below 1e-6 becomes all ones: the image passes through unchanged.

    Args:
        maps: Float32 (N, 1, H, W).
        detach_range: Treat minimum and maximum as constants in the gradient.

    Returns:
        Float32 (N, 1, H, W) in [0, 1].
    """
    low = maps.amin((1, 2, 3), keepdim=True)
    high = maps.amax((1, 2, 3), keepdim=True)
    if detach_range:
        low, high = low.detach(), high.detach()
    span = high - low
    # The clamp keeps 0/0 out of the branch that `where` does not select: its gradient would be NaN.
    scaled = (maps - low) / span.clamp_min(FLAT)
    # A scalar one: a tensor of ones would put Shape and Expand nodes into the exported graph.
    return torch.where(span >= FLAT, scaled, 1.0)


def shrunk_side(side: int, scale: float, multiple: int) -> int:
    """The least multiple of ``multiple`` that is at least ``scale`` times ``side``, in pixels."""
    return math.ceil(side * scale / multiple) * multiple


def bilinear_kernel(size: int) -> Tensor:
    """Weights (1, 1, size, size) that make a strided transposed convolution interpolate."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    ramp = 1 - (torch.arange(size, dtype=torch.float32) - centre).abs() / factor
    return (ramp[:, None] * ramp[None, :])[None, None]


def _score_layer(channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, 1, 1)
    # Not the reference port's zeros: a constant map has no range to normalise by (D8).
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class LightAttention(nn.Module):
    """The FCN-16s recipe on two strides of a light backbone.

    The maps of these backbones do not halve exactly (27 and 13 cells at 224 pixels), so both
    enlargements are plain bilinear interpolation instead of transposed convolutions.

    Args:
        trunk: Blocks behind its coarser stride are dropped.
        energy: Start the score layers as the mean over channels. Where an ImageNet trunk responds
            strongly there usually is an object, so attention starts with a sensible map instead
            of a random one, and the hashing network sees objects from its first step.
    """

    #: Input sides must be multiples of this.
    multiple = 1

    def __init__(self, trunk: Trunk, *, energy: bool = False) -> None:
        super().__init__()
        # What lies behind the coarser stride is never run: it would only be dead weight in files.
        trunk.blocks = nn.Sequential(*list(trunk.blocks)[: trunk.spec.coarse])
        self.trunk = trunk
        fine, coarse, _ = trunk.spec.channels
        self.score_fine = _score_layer(fine)
        self.score_coarse = _score_layer(coarse)
        if energy:
            for layer in (self.score_fine, self.score_coarse):
                nn.init.constant_(layer.weight, 1 / layer.weight.numel())

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) to raw attention A (N, 1, H, W), float32."""
        fine, coarse = self.trunk.two_strides(images)
        score = self.score_fine(fine)
        up = F.interpolate(
            self.score_coarse(coarse), size=score.shape[-2:], mode="bilinear", align_corners=False
        )
        return F.interpolate(
            (score + up).float(), size=images.shape[-2:], mode="bilinear", align_corners=False
        )


class PaperAttention(nn.Module):
    """FCN-16s on VGG-16 with one output channel, in the form without crops (methods note D10).

    Layers keep torchvision's names: ``features.*`` and, convolutionalised, ``classifier.0`` (fc6,
    7x7) and ``classifier.3`` (fc7, 1x1). Input sides must be multiples of 32.

    Args:
        state: ImageNet state dict of torchvision's vgg16, or None.
        fc_dim: Width of fc6 and fc7; below 4096 they start at random.
    """

    multiple = 32

    def __init__(self, state: dict[str, Tensor] | None = None, fc_dim: int = 4096) -> None:
        super().__init__()
        self.features = vgg16_features(state)
        self.classifier = nn.Sequential(
            nn.Conv2d(512, fc_dim, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout2d(),
            nn.Conv2d(fc_dim, fc_dim, 1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(),
        )
        load_vgg16_layers(self.classifier, "classifier", state if fc_dim == 4096 else None)
        self.score_pool4 = _score_layer(512)
        self.score_fc7 = _score_layer(fc_dim)
        self.up2 = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
        self.up16 = nn.ConvTranspose2d(1, 1, 32, stride=16, padding=8, bias=False)
        with torch.no_grad():
            self.up2.weight.copy_(bilinear_kernel(4))
            self.up16.weight.copy_(bilinear_kernel(32))
        self.up16.weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), H and W multiples of 32, to raw attention A (N, 1, H, W)."""
        pool4 = self.features[:24](images)
        fc7 = self.classifier(self.features[24:](pool4))
        fused = self.score_pool4(pool4) + self.up2(self.score_fc7(fc7))
        maps: Tensor = self.up16(fused)
        # Mixed precision would run the enlargement in half; extremes are taken in float32 (D8).
        return maps.float()
