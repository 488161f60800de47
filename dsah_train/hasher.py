"""What every network here is: normalised images to activations and, with attention, saliency."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["Encoded", "Hasher"]


class Encoded(NamedTuple):
    """What a network says of a batch.

    Attributes:
        activations: Float32 (N, A), before the sign or the argmax.
        saliency: Float32 (N, S, S) in [0, 1], or None for a method without attention.
    """

    activations: Tensor
    saliency: Tensor | None


class Hasher(nn.Module):
    """A network from normalised images (N, 3, S, S) to `Encoded`; what export fuses.

    Attributes:
        symbol_arity: 2 for sign codes (bit = activation >= 0), K for ordinal codes (activations
            viewed as (N, segments, K), symbol = index of the largest, lowest index wins).
        activations: A, width of what `forward` returns.
        has_saliency: Whether `forward` returns a saliency map.
    """

    symbol_arity: int = 2
    activations: int
    has_saliency: bool = False

    def forward(self, images: Tensor) -> Encoded:
        """Encode float32 images (N, 3, S, S)."""
        raise TypeError(f"{type(self).__name__} does not say how it encodes")

    def pooled(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to what the trunk says of them, float32 (N, F)."""
        raise TypeError(f"{type(self).__name__} has no features that stand alone")

    def head(self, pooled: Tensor) -> Tensor:
        """Features (N, F) of `pooled` to activations (N, A); the whole of a plain network."""
        raise TypeError(f"{type(self).__name__} has no features that stand alone")
