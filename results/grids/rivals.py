"""Every method and rival on the same networks: for as many epochs, and as many trunk passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from results.cells import Cell, Grid
from results.grids.budget import EPOCHS, SMALL

__all__ = [
    "ENTRIES",
    "GRID",
    "METHODS",
    "NORMALISED",
    "PAPER_LOSSES",
    "PASSES",
    "RATES",
    "learning_rate",
    "trunk_passes",
]

#: DSaH as published (Eq. 6-14, one pass of each step per epoch), in the networks, the optimiser
#: and the start that all methods here share. Pair terms grow with the batch (D14): at 64 they weigh
#: twice what they do in the paper, beside J_reg. results/rates.py tries the paper's ratio as well.
PAPER_LOSSES: dict[str, object] = {
    "pair_power": 1,
    "centres": 0.0,
    "alternate": "epoch",
    "code_norm": False,
}

#: Label to settings.
METHODS: dict[str, dict[str, object]] = {
    "dsah": {"method": "dsah"},
    "dsah-paper": {"method": "dsah", **PAPER_LOSSES},
    "doh": {"method": "doh"},
    "dagh": {"method": "dagh"},
    "dsh": {"method": "dsh"},
    "dpsh": {"method": "dpsh"},
    "dhn": {"method": "dhn"},
    "hashnet": {"method": "hashnet"},
    "csq": {"method": "csq"},
    "orthohash": {"method": "orthohash"},
    "itq": {"method": "itq"},
    "lsh": {"method": "lsh"},
}
#: Forward passes of a picture through a trunk in one epoch, where there are several: joint training
#: hashes two views and attends once; by epoch it does both twice; DAgH attends for half its epochs.
_PASSES = {"dsah": 3, "dsah-paper": 6, "dagh": 2}
_BUDGET = _PASSES["dsah"] * EPOCHS
_RATES = Path(__file__).resolve().parents[1] / "rates"
#: What results/rates.py chose on validation pictures of each set.
RATES = {"flowers17": _RATES / "lr.json", "cifar10": _RATES / "cifar10.json"}


#: Rivals with the hash layer that DSaH and OrthoHash have by default, at rates of their own.
NORMALISED: dict[str, dict[str, object]] = {
    f"{label}-norm": {**METHODS[label], "code_norm": True}
    for label in ("dsh", "dpsh", "dhn", "hashnet", "csq")
}


def _kept(data: str) -> dict[str, Any]:
    """What results/rates.py has found so far."""
    return json.loads(RATES[data].read_text()) if RATES[data].exists() else {}


def _better() -> dict[str, dict[str, object]]:
    """Those of `NORMALISED` that did better on validation pictures than without."""
    rates = _kept("flowers17").get("validation_map", {})
    best = {label: max(tried.values()) for label, tried in rates.items()}
    return {
        label: settings
        for label, settings in NORMALISED.items()
        if best.get(label, 0) > best.get(label.removesuffix("-norm"), 1)
    }


#: What is measured at a small budget.
ENTRIES = METHODS | _better()


def trunk_passes(label: str) -> int:
    """Forward passes of each picture through a trunk in one epoch."""
    return _PASSES.get(label, 1)


def learning_rate(label: str, bits: int = 48, data: str = "flowers17") -> dict[str, object]:
    """The rate, and the start where others were tried, that did best on validation pictures.

    Nothing where none was chosen. Rates alone are tried at 48 bits, other starts at each length.
    """
    kept = _kept(data)
    tried = list(kept.get("starts", {}).get(label, {}).get(str(bits), []))
    if bits == 48 or not tried:
        rates = kept.get("validation_map", {}).get(label, {})
        tried += [{"lr": float(rate), "map": value} for rate, value in rates.items()]
    best = max(tried, key=lambda start: start["map"], default={})
    return {name: value for name, value in best.items() if name != "map"}


def _cell(grid: str, label: str, bits: int, epochs: int) -> Cell:
    settings = {**ENTRIES[label], "bits": bits, **SMALL, "epochs": epochs}
    settings |= learning_rate(label, bits)
    if label in ("itq", "lsh"):  # one pass over the features is all there is
        settings["epochs"] = 1
    return Cell(grid, f"{label}-{bits}", settings)


def _claim_first(label: str) -> tuple[bool, int]:
    return label not in ("dpsh", "dsah-paper"), list(METHODS).index(label)


GRID = Grid(
    "every method and rival on Flower-17, as many epochs",
    "data/flowers17.zip",
    85,
    tuple(_cell("rivals", label, bits, EPOCHS) for bits in (48, 12) for label in ENTRIES),
)
PASSES = Grid(
    "every method and rival on Flower-17, as many trunk passes as dsah",
    "data/flowers17.zip",
    90,
    tuple(
        _cell("rivals-passes", label, bits, _BUDGET // trunk_passes(label))
        for bits in (12, 48)
        # The paper's claim first; dsah sets the budget, and itq and lsh train nothing.
        for label in sorted(set(METHODS) - {"dsah", "itq", "lsh"}, key=_claim_first)
    ),
)
