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


def _marks(size: float) -> Grid:
    name = f"marks{round(100 * size)}"
    # Joint training takes three passes through a trunk per picture, hashing alone takes one.
    cells = tuple(
        Cell(
            name,
            f"dsah-48-{label}",
            {
                "bits": 48,
                "attention": attention,
                "image_size": 128,
                "train_size": 128,
                "min_area": 0.8,
                "epochs": epochs,
                "select": False,
            },
            note,
        )
        for label, attention, epochs, note in (
            ("attention", True, 16, "attention and hashing"),
            ("plain-equal-epochs", False, 16, "hashing alone, as many epochs"),
            ("plain-equal-passes", False, 48, "hashing alone, as many trunk passes"),
        )
    )
    title = f"what attention gains on the drawn set, marks of {size} of the side"
    return Grid(title, f"embedded:marks?mark={size}", 25, cells)


GRIDS = {grid.cells[0].grid: grid for grid in (_flowers17(), *map(_marks, (0.12, 0.18, 0.25)))}
