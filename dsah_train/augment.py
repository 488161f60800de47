"""Random views of uint8 pictures, made for a whole batch at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dsah_infer.contract import IMAGENET_MEAN, IMAGENET_STD
from dsah_train.config import Config

__all__ = ["normalise", "random_views"]


def normalise(pictures: Tensor) -> Tensor:
    """Pictures uint8 (N, S, S, 3) to float32 (N, 3, S, S), zero mean and unit scale per channel.

    The same arithmetic, in the same order, as the head of the exported graph.
    """
    mean = torch.tensor(IMAGENET_MEAN, device=pictures.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=pictures.device).view(1, 3, 1, 1)
    return (pictures.float().permute(0, 3, 1, 2) / 255 - mean) / std


def random_views(
    pictures: Tensor, config: Config, rng: torch.Generator, share: slice = slice(None)
) -> Tensor:
    """One random crop, flip and colour change of each picture, normalised.

    Args:
        pictures: uint8 (N, R, R, 3).
        config: ``train_size``, ``min_area``, ``max_area``, ``aspect`` and ``colour_jitter`` are
            read.
        rng: Generator on the CPU; the only source of chance.
        share: The pictures whose views are made. Chance is drawn for all of them, so that each
            view is the same however many processes share the batch.

    Returns:
        Float32 (len(share), 3, T, T) with T = ``train_size``, on the pictures' device.
    """
    drawn, device = len(pictures), pictures.device
    pictures = pictures[share]
    n = len(pictures)

    def uniform(low: float, high: float) -> Tensor:
        return (torch.rand(drawn, generator=rng)[share] * (high - low) + low).to(device)

    # Crop as an affine map of the output square into the picture: side, aspect, centre, flip.
    side = uniform(config.min_area, config.max_area).sqrt()
    aspect = uniform(-config.aspect, config.aspect).exp()
    width, height = (side * aspect).clamp_max(1), (side / aspect).clamp_max(1)
    flip = (uniform(0, 1) < 0.5).float() * 2 - 1
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    size = config.train_size
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    views = F.grid_sample(
        pictures.permute(0, 3, 1, 2).float() / 255,
        grid,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    strength = config.colour_jitter
    if strength:

        def factor() -> Tensor:
            return uniform(1 - strength, 1 + strength).view(n, 1, 1, 1)

        views = views * factor()
        mean = views.mean((1, 2, 3), keepdim=True)
        views = mean + (views - mean) * factor()
        grey = views.mean(1, keepdim=True)
        views = (grey + (views - grey) * factor()).clamp(0, 1)
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)
    return (views - mean) / std
