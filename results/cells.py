"""A grid is one question, a cell one trained model (or one method's heads) that helps answer it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsah_train.config import Config

__all__ = ["Cell", "Grid", "Heads"]

#: Settings that `results.heads` chooses.
_OF_HEADS = frozenset(
    {"bits", "epochs", "batch_size", "lr", "seed", "split_seed", "train_trunk", "precision"}
)


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes:
        grid: Name of its grid.
        name: File name of its result.
        settings: Settings that differ from the defaults.
        note: What the figure means, where the name does not say it.
        teacher: ``grid/cell`` whose model the student learns from; it encodes the gallery, too.
    """

    grid: str
    name: str
    settings: dict[str, object] = field(default_factory=dict)
    note: str = ""
    teacher: str = ""

    def flags(self) -> list[str]:
        """The settings as command line flags."""
        flags = []
        for name, value in self.settings.items():
            flag = name.rstrip("_").replace("_", "-")
            if isinstance(value, bool):
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                flags += [f"--{flag}", str(value)]
        return flags


@dataclass(frozen=True)
class Heads:
    """Heads on frozen features: side of the pictures in pixels, code lengths, and seeds.

    A seed draws the split and the training alike.
    """

    size: int
    bits: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """One question.

    Attributes:
        title: The question.
        data: Archive in the data folder, or an ``embedded:`` specification.
        minutes: What all cells take on one core; for grids of a GPU a guess.
        cells: The models.
        heads: Each cell is a method's heads on frozen features, trained by `results.heads`.
        gpu: Left out where there is no CUDA device: it would take days.
    """

    title: str
    data: str
    minutes: int
    cells: tuple[Cell, ...]
    heads: Heads | None = None
    gpu: bool = False

    def changed(self, cell: Cell, record: Mapping[str, Any]) -> list[str]:
        """Names of the settings that would have other values if the cell were measured today.

        A default that has changed since counts as well. Settings that the method does not read are
        left out, and those that heads choose themselves.
        """
        kept = record.get("settings")
        if kept is None:  # cosines of features: nothing is trained
            return []
        today = Config.with_preset(**cell.settings)
        own = _OF_HEADS - set(cell.settings) if self.heads else {"teacher"}
        return [
            field.name
            for field in dataclasses.fields(Config)
            if today.method in field.metadata["of"]
            and field.name not in own
            # Older than the setting: what it is by default was all there was.
            and kept.get(field.name, field.default) != getattr(today, field.name)
        ]
