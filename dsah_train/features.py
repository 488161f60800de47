"""What a network's trunk says of pictures, computed once: for heads, ITQ, LSH and float ranking."""

from __future__ import annotations

import torch
from torch import Tensor

from dsah_train.augment import normalise
from dsah_train.hasher import Hasher

__all__ = ["pooled_features"]


def pooled_features(model: Hasher, pictures: Tensor, *, batch_size: int = 64) -> Tensor:
    """Pictures uint8 (n, S, S, 3) to pooled features float32 (n, F), on the model's device.

    In eval mode, without augmentation and without gradients; the model's mode is restored.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            rows = [
                model.pooled(
                    normalise(batch.to(device)).contiguous(memory_format=torch.channels_last)
                )
                for batch in pictures.split(batch_size)
            ]
    finally:
        model.train(was_training)
    return torch.cat(rows)
