"""What is measured: one `Grid` per question, one `Cell` per trained model."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["GRIDS", "Cell", "Grid"]


@dataclass(frozen=True)
class Cell:
    """One model to train.

    Attributes:
        grid: Name of its grid.
        name: File name of its result.
        settings: Settings that differ from the defaults.
        note: What the figure means, where the name does not say it.
    """

    grid: str
    name: str
    settings: dict[str, object] = field(default_factory=dict)
    note: str = ""

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
        minutes: What all cells take on two cores.
        cells: The models.
    """

    title: str
    data: str
    minutes: int
    cells: tuple[Cell, ...]


def _flowers17() -> Grid:
    cells = tuple(
        Cell("flowers17", f"dsah-{bits}-split{seed}", {"bits": bits, "split_seed": seed})
        for seed in (0, 1, 2)
        for bits in (48, 12, 24, 36)
    )
    return Grid("DSaH with its defaults on Flower-17", "data/flowers17.zip", 240, cells)


def _attention() -> Grid:
    cells = []
    for attention in (True, False):
        name = "with" if attention else "without"
        settings: dict[str, object] = {"attention": attention}
        cells.append(Cell("marks", f"dsah-48-{name}-attention", settings))
    return Grid("what attention gains on the drawn set", "embedded:marks", 20, tuple(cells))


GRIDS = {"flowers17": _flowers17(), "marks": _attention()}
