"""The pictures of a training run in memory, and the batches that a seed draws from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dsah_infer.errors import ConfigError
from dsah_train.augment import random_views
from dsah_train.config import Config
from dsah_train.distributed import processes, share

__all__ = ["Batch", "FeatureSet", "TrainingSet", "balanced_order"]


class Batch(NamedTuple):
    """One batch; of several processes each has its share of the images and all of the rest.

    Attributes:
        images: Augmented images float32 (b, 3, T, T), or features (b, F); b is B in one process.
        targets: Multi-hot targets (B, C).
        rows: Rows of the set (B,).
    """

    images: Tensor
    targets: Tensor
    rows: Tensor


def balanced_order(targets: Tensor, group: int, rng: torch.Generator) -> Tensor:
    """An order of all rows in which short runs hold many classes.

    Every class's rows are shuffled and cut into groups. An epoch has as many rounds as the largest
    class has groups; a class with g of G groups takes part in every G/g-th round, and classes are
    shuffled in each round. Rows with several classes stand under their first.

    Of classes with equal numbers of groups each round, hence each run of a round's length, holds
    equal counts. Of others every class is spread evenly over the epoch, but counts within a run
    are not equal: rows are not repeated, so a run holds about the classes' shares of the data, and
    a class with fewer groups than there are runs is missing from some.

    Args:
        targets: Multi-hot (n, C), on the CPU.
        group: Most rows of one class that follow each other within a round.
        rng: Generator on the CPU.

    Returns:
        Rows int64 (n,), each once.
    """
    first = targets.argmax(1)
    groups: list[tuple[Tensor, ...]] = []
    for c in first.unique():
        rows = torch.nonzero(first == c)[:, 0]
        rows = rows[torch.randperm(len(rows), generator=rng)]
        groups.append(rows.split(group))
    rounds: list[dict[int, Tensor]] = [{} for _ in range(max(map(len, groups)))]
    # Small classes start apart, or all of them would meet in the same few rounds.
    small = [c for c, own in enumerate(groups) if len(own) < len(rounds)]
    apart = max(1, len(small))
    starts = dict(zip(small, torch.randperm(len(small), generator=rng).tolist(), strict=True))
    for c, own in enumerate(groups):
        for i, rows in enumerate(own):
            turn = (i * apart + starts.get(c, 0)) * len(rounds) // (len(own) * apart)
            rounds[turn][c] = rows
    order: list[Tensor] = []
    for present in rounds:
        shuffled = torch.randperm(len(groups), generator=rng).tolist()
        order += [present[c] for c in shuffled if c in present]
    return torch.cat(order)


@dataclass(frozen=True)
class TrainingSet:
    """Decoded pictures with their targets.

    Attributes:
        pictures: uint8 (n, R, R, 3), R at least ``train_size``.
        targets: Multi-hot (n, C), on the device that trains.
        config: Batch size, sampler, augmentation and seed.
        seen: The pictures as the exported model sees them, uint8 (n, S, S, 3); None where that is
            what ``pictures`` are.
        guide: A teacher's symbols (n, segments), for a student; bits where its codes are signs.
    """

    pictures: Tensor
    targets: Tensor
    config: Config
    seen: Tensor | None = None
    guide: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def steps(self) -> int:
        """Batches of one pass, as learning rates count them.

        A short last batch counts even where `batches` leaves it out, so that rates do not depend
        on the number of processes.
        """
        return -(-len(self) // self.config.batch_size)

    def batches(self, epoch: int, turn: int = 0) -> Iterator[Batch]:
        """The batches of one pass; the same (seed, epoch, turn) gives the same batches.

        A last batch of one picture, or of fewer pictures than there are processes, is left out.

        Args:
            epoch: Epoch number from 0.
            turn: Which pass within the epoch, where a method makes several.

        Raises:
            ConfigError: All batches have fewer pictures than there are processes.
        """
        largest = min(len(self), self.config.batch_size)
        if largest < processes():
            raise ConfigError(
                f"batches of {largest} pictures (batch_size = {self.config.batch_size}, "
                f"{len(self)} pictures) for {processes()} processes: each needs one picture of a "
                "batch; fewer processes, or a larger batch_size"
            )
        # A single picture has no pair. A process without a picture has no network to run, and
        # the others would wait for it in the sum of the gradients.
        least = max(2, processes())
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch * 101 + turn)
        if self.config.sampler == "balanced":
            group = max(4, -(-self.config.batch_size // self.targets.shape[1]))
            order = balanced_order(self.targets.cpu(), group, rng)
        else:
            order = torch.randperm(len(self), generator=rng)
        for rows in order.split(self.config.batch_size):
            if len(rows) < least:
                continue
            yield Batch(self.images(rows, rng), self.targets[rows], rows)

    def images(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """This process's share of random views of the pictures at ``rows``."""
        views = random_views(self.pictures[rows], self.config, rng, share(len(rows)))
        return views.to(self.targets.device, memory_format=torch.channels_last)

    def to(self, device: torch.device) -> TrainingSet:
        """The same set for training on ``device``: what batches hold then lies there.

        The pictures are kept there too and their views made there, unless they would fill more
        than half of a card's free memory.
        """
        pictures = self.pictures
        if device.type != "cuda" or pictures.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            pictures = pictures.to(device)
        guide = None if self.guide is None else self.guide.to(device)
        targets = self.targets.to(device)
        return dataclasses.replace(self, pictures=pictures, targets=targets, guide=guide)


@dataclass(frozen=True)
class FeatureSet(TrainingSet):
    """Frozen features in place of pictures: ``pictures`` is float32 (n, F), given as it is."""

    def images(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """This process's share of the features at ``rows``."""
        return self.pictures[rows[share(len(rows))]]
