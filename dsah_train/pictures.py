"""Decoded pictures of a part, in memory once for the whole training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from dsah_infer.contract import PixelRule
from dsah_train.batches import TrainingSet
from dsah_train.config import Config
from dsah_train.data import Part, carve_validation, decode_part
from dsah_train.memory import check_memory

__all__ = ["Pictures", "decode_pictures"]


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures of a part: for training (R, larger or equal) and as the model sees them (S).

    The two are one array when no margin is cropped away. ``guide`` holds a teacher's symbols
    (n, segments) where there is a teacher.
    """

    part: Part
    large: torch.Tensor
    seen: torch.Tensor
    guide: torch.Tensor | None = None

    def subset(self, rows: np.ndarray) -> Pictures:
        """The pictures at these rows."""
        index = torch.as_tensor(rows)
        large = self.large[index]
        same = self.seen is self.large
        guide = None if self.guide is None else self.guide[index]
        return Pictures(self.part.subset(rows), large, large if same else self.seen[index], guide)

    def carve(self, per_class: int, seed: int = 0) -> tuple[Pictures, Pictures]:
        """(rest, validation) as `carve_validation` splits their part.

        Raises:
            DataError: No class has two pictures.
        """
        rows = {name: i for i, name in enumerate(self.part.names)}
        rest, held_out = (
            self.subset(np.array([rows[name] for name in part.names]))
            for part in carve_validation(self.part, per_class, seed)
        )
        return rest, held_out

    def training_set(self, config: Config) -> TrainingSet:
        """As the loops want it."""
        targets = torch.from_numpy(self.part.targets)
        return TrainingSet(self.large, targets, config, self.seen, self.guide)


def decode_pictures(part: Part, config: Config, progress: bool) -> Pictures:
    """Decode a part once; corrupt pictures are named and left out.

    Raises:
        DataError: The decoded pictures do not fit in memory, or all of them are corrupt.
    """
    check_memory(len(part), config)
    rule = PixelRule(size=config.image_size, crop=config.crop)
    large_rule = PixelRule(size=round(config.image_size / config.crop), crop=1.0)
    pixels, kept = decode_part(
        part, large_rule, on_error="skip", progress=progress, label="decode train"
    )
    part = part.subset(kept)
    large = torch.from_numpy(pixels)
    if config.crop == 1.0:
        return Pictures(part, large, large)
    return Pictures(part, large, torch.from_numpy(decode_part(part, rule, progress=progress)))
