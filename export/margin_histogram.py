"""How many symbols lie how near to their decision, and how many of those flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_train.encode import Codes
from export.parity import margins, symbols_of

__all__ = ["MarginHistogram", "margin_histogram"]

_PER_DECADE = 4
_LEAST = 1e-9


@dataclass(frozen=True)
class MarginHistogram:
    """Symbols counted by their margin in the reference run.

    Attributes:
        meaning: What the margin is, in words.
        edges: Rising, one more than there are bins, evenly spaced in the logarithm; a margin
            below the first, such as 0, counts in the first bin.
        all: Symbols in each bin.
        flipped: For each compared run, those of them that differ there.
    """

    meaning: str
    edges: tuple[float, ...]
    all: tuple[int, ...]
    flipped: tuple[tuple[int, ...], ...]

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    def rows(self) -> list[tuple[str, ...]]:
        """One row per bin that is not empty: range, symbols, flips of each run."""
        bins = zip(self.edges[:-1], self.edges[1:], self.all, *self.flipped, strict=True)
        return [
            (f"{low:.1e} to {high:.1e}", *map(str, counts))
            for low, high, *counts in bins
            if counts[0]
        ]


def margin_histogram(
    reference: Codes, others: Sequence[Codes], contract: CodeContract
) -> MarginHistogram:
    """Count the symbols of a reference run, and those that differ in other runs.

    Args:
        reference: Its activations give the margins.
        others: Runs of the same pictures.
        contract: Says how activations and codes are laid out.
    """
    margin = margins(reference.activations, contract).astype(np.float64)
    low = max(float(margin[margin > 0].min(initial=1.0)), _LEAST)
    top = max(float(margin.max(initial=0.0)), low * 10)
    edges = np.geomspace(low, top, 1 + round(np.log10(top / low) * _PER_DECADE))
    symbols = symbols_of(reference.codes, contract)

    def counted(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        return tuple(counts.tolist())

    signs = contract.activations == contract.bits
    return MarginHistogram(
        meaning="|activation|" if signs else "gap of the two largest activations",
        edges=tuple(edges.tolist()),
        all=counted(margin.ravel()),
        flipped=tuple(counted(margin[symbols != symbols_of(o.codes, contract)]) for o in others),
    )
