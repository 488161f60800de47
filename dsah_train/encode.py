"""Pictures through a trained network: activations, packed codes and saliency."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsah_infer.contract import CodeContract, pack_symbols
from dsah_train.augment import normalise
from dsah_train.models import Hasher

__all__ = ["Codes", "encode", "pack_activations", "symbols_of"]


@dataclass(frozen=True)
class Codes:
    """What a network says of n pictures.

    Attributes:
        codes: Packed, uint8 (n, ceil(bits / 8)).
        activations: float32 (n, A).
        saliency: float32 (n, S, S) in [0, 1], or None where not asked for or not there.
    """

    codes: npt.NDArray[np.uint8]
    activations: npt.NDArray[np.float32]
    saliency: npt.NDArray[np.float32] | None = None


def symbols_of(
    activations: npt.NDArray[np.float32], contract: CodeContract
) -> npt.NDArray[np.uint8]:
    """Activations (n, A) to symbols (n, segments) by the contract's bit and symbol rules.

    Sign codes have one activation per bit. Ordinal codes have K per segment, and numpy's argmax
    takes the lowest index of a tie, as the contract wants.
    """
    if contract.activations == contract.bits:
        return (activations >= 0).astype(np.uint8)
    segments = activations.reshape(len(activations), contract.segments, contract.arity)
    return segments.argmax(-1).astype(np.uint8)


def pack_activations(
    activations: npt.NDArray[np.float32], contract: CodeContract
) -> npt.NDArray[np.uint8]:
    """Activations (n, A) to packed codes (n, bytes) of their `symbols_of`."""
    return pack_symbols(symbols_of(activations, contract), contract.symbol_bits)


def encode(
    model: Hasher,
    images: npt.NDArray[np.uint8] | Tensor,
    contract: CodeContract,
    *,
    batch_size: int = 64,
    saliency: bool = False,
    autocast: contextlib.AbstractContextManager[object] | None = None,
) -> Codes:
    """Encode decoded pictures in eval mode, without gradients.

    Args:
        model: The network; its mode is restored afterwards.
        images: uint8 (n, S, S, 3), S the contract's size.
        contract: How activations become codes.
        batch_size: Pictures per pass.
        saliency: Keep the saliency maps too.
        autocast: Mixed precision; codes that are kept should be made without.
    """
    device = next(model.parameters()).device
    pictures = torch.as_tensor(images)
    activations: list[npt.NDArray[np.float32]] = []
    maps: list[npt.NDArray[np.float32]] = []
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast or contextlib.nullcontext():
            for batch in pictures.split(batch_size):
                x = normalise(batch.to(device)).contiguous(memory_format=torch.channels_last)
                out = model(x)
                activations.append(out.activations.float().cpu().numpy())
                if saliency and out.saliency is not None:
                    maps.append(out.saliency.float().cpu().numpy())
    finally:
        model.train(was_training)
    values = np.concatenate(activations)
    return Codes(pack_activations(values, contract), values, np.concatenate(maps) if maps else None)
