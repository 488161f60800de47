"""The embedded set: what attention gains, and whether it looks where the mark is."""

from __future__ import annotations

from results.cells import Cell, Grid

__all__ = ["GRIDS"]


def _marks(size: float) -> tuple[str, Grid]:
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
                "batch_size": 64,
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
    return name, Grid(title, f"embedded:marks?mark={size}", 12, cells)


GRIDS = dict(map(_marks, (0.12, 0.18, 0.25)))
