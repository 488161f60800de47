"""A grid is one question, a cell one trained model (or one method's heads) that helps answer it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Cell", "Grid"]


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
class Grid:
    """One question.

    Attributes:
        title: The question.
        data: Archive in the data folder, or an ``embedded:`` specification.
        minutes: What all cells take on one core; for grids of a GPU a guess.
        cells: The models.
        frozen: Heads on frozen features, trained by `results.heads` instead of ``fit``.
        gpu: Left out where there is no CUDA device: it would take days.
    """

    title: str
    data: str
    minutes: int
    cells: tuple[Cell, ...]
    frozen: bool = False
    gpu: bool = False
