"""The fused graph: uint8 pictures in, packed codes, activations and saliency out.

Written with operators that every runtime here has: a cast before the transpose (TensorRT takes
uint8 at the border only), compare and multiply instead of bit operators, no ArgMax whose tie
rule a runtime could choose for itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsah_infer.contract import CodeContract
from dsah_train.models import Hasher

__all__ = ["FusedEncoder", "first_largest", "pack"]


def first_largest(segments: Tensor) -> Tensor:
    """Index of the largest value of each segment; the lowest index wins a tie.

    Args:
        segments: Float32 (N, segments, K).

    Returns:
        Float32 (N, segments), whole numbers 0 to K - 1.
    """
    arity = segments.shape[-1]
    largest = segments.amax(-1, keepdim=True)
    # The first maximum has the highest rank among the maxima.
    ranks = torch.arange(arity, 0, -1, dtype=torch.float32)
    return arity - ((segments >= largest).float() * ranks).amax(-1)


def pack(symbols: Tensor, symbol_bits: int) -> Tensor:
    """Pack symbols most significant bit first, spare bits zero, as ``contract.pack_symbols``.

    Args:
        symbols: Float32 (N, segments), whole numbers below 2**symbol_bits.
        symbol_bits: Bits of one symbol: 1, 2, 4 or 8.

    Returns:
        Codes, uint8 (N, ceil(segments * symbol_bits / 8)).
    """
    per_byte = 8 // symbol_bits
    spare = -symbols.shape[1] % per_byte
    if spare:
        symbols = F.pad(symbols, (0, spare))
    powers = 2.0 ** (symbol_bits * torch.arange(per_byte - 1, -1, -1, dtype=torch.float32))
    width = symbols.shape[1] // per_byte
    # Sums of at most 8 distinct powers of two below 256 are exact in every float format.
    return (symbols.reshape(-1, width, per_byte) @ powers[:, None]).squeeze(2).to(torch.uint8)


class FusedEncoder(nn.Module):
    """A trained network between its pixel rule's normalisation and the packing of its codes.

    Args:
        model: The network, in eval mode.
        contract: What its codes mean; ``has_saliency`` decides about the third output.
    """

    def __init__(self, model: Hasher, contract: CodeContract) -> None:
        super().__init__()
        self.model = model
        self.contract = contract
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("pixel_mean", torch.tensor(contract.pixels.mean).view(1, 3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(contract.pixels.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode pictures uint8 (N, S, S, 3).

        Returns:
            codes uint8 (N, ceil(bits / 8)), activations float32 (N, A), and, with attention,
            saliency float32 (N, S, S) in [0, 1].
        """
        # The arithmetic of `dsah_train.augment.normalise`, in its order: same bits.
        pixels = images.float().permute(0, 3, 1, 2) / 255
        encoded = self.model((pixels - self.pixel_mean) / self.pixel_std)
        activations = encoded.activations.float()
        codes = pack(self.symbols(activations), self.contract.symbol_bits)
        if self.contract.has_saliency:
            return codes, activations, encoded.saliency.float()
        return codes, activations

    def symbols(self, activations: Tensor) -> Tensor:
        """Activations (N, A) to symbols float32 (N, segments) by the contract's rule."""
        if self.contract.activations == self.contract.bits:  # sign codes: one for each bit
            return (activations >= 0).float()
        shape = (-1, self.contract.segments, self.contract.arity)
        return first_largest(activations.reshape(shape))
