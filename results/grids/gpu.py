"""What takes a GPU: every method fine-tuned at full size, and CIFAR-10 at every length."""

from __future__ import annotations

from results.cells import Cell, Grid
from results.grids.rivals import ENTRIES, learning_rate

__all__ = ["GRIDS"]

_BITS = (12, 24, 36, 48)


def _cell(grid: str, label: str, bits: int, *, data: str = "flowers17", **settings: object) -> Cell:
    seed = f"-seed{settings['seed']}" if "seed" in settings else ""
    # Rates and starts carry over to another budget; weights against its batches do not.
    tried = learning_rate(label, bits, data)
    start = {name: tried[name] for name in ("lr", "trunk_lr", "warm_start") if name in tried}
    chosen = {**ENTRIES[label], "bits": bits, **start, **settings}
    return Cell(grid, f"{label}-{bits}{seed}", chosen)


GRIDS = {
    "rivals-seeds": Grid(
        "every method and rival on Flower-17 at 224 pixels, epochs chosen, three seeds",
        "data/flowers17.zip",
        180,
        tuple(
            _cell("rivals-seeds", label, bits, seed=seed, split_seed=seed)
            for seed in (0, 1, 2)
            for bits in _BITS
            for label in ENTRIES
        ),
        gpu=True,
    ),
    "cifar10-lengths": Grid(
        "CIFAR-10, paper protocol, every length",
        "data/cifar10.zip",
        60,
        tuple(
            _cell("cifar10-lengths", label, bits, data="cifar10", protocol="cifar10:paper")
            for bits in _BITS
            for label in ("dsah", "dpsh")
        ),
        gpu=True,
    ),
}
