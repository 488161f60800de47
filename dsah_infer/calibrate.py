"""From labelled codes to a search radius: what precision a radius buys, and at what size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

import dsah_infer._core as _core
from dsah_infer.contract import MAX_BITS, check_codes
from dsah_infer.errors import MissingDependencyError, UsageError
from dsah_infer.index_arguments import as_array, at_least
from dsah_infer.pair_counts import pair_counts

__all__ = ["Calibration", "calibrate"]

Counts = npt.NDArray[np.int64]
Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How pairs of labelled codes are distributed over distances.

    Attributes:
        radius: Largest radius whose precision, of all pairs within it, is at least the wanted
            one; None if there is none. Smaller radii may be less precise: a few mislabelled
            pictures are much among the few pairs that lie nearest.
        wanted: The wanted precision.
        same: Number of unordered pairs of one class at each distance, int64 (segments + 1,).
        different: The same for pairs of two classes.
        gallery_size: Codes in the gallery that `expected_false_hits` speaks of by default.
    """

    radius: int | None
    wanted: float
    same: Counts
    different: Counts
    gallery_size: int

    @property
    def precision(self) -> Curve:
        """Share of same-class pairs among all pairs within each radius; NaN without pairs."""
        return _precision(self.same, self.different)

    @property
    def recall(self) -> Curve:
        """Share of all same-class pairs found within each radius; NaN if there are none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share: Curve = np.cumsum(self.same) / self.same.sum()
        return share

    def expected_false_hits(self, radius: int, gallery_size: int | None = None) -> float:
        """Expected codes of other classes within ``radius`` of one query, in a gallery.

        The gallery is taken to mix the classes as the labelled codes do: the figure is
        gallery_size times the share of all pairs that are of two classes and within the radius.
        """
        within = int(self.different[: at_least("radius", radius, 0) + 1].sum())
        total = int(self.same.sum() + self.different.sum())
        size = self.gallery_size
        if gallery_size is not None:
            size = at_least("gallery_size", gallery_size, 0)
        return size * within / total

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write distance histograms with precision, recall, what was wanted and the radius.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise MissingDependencyError("plots need matplotlib: pip install matplotlib") from None
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        distances = np.arange(len(self.same))
        for counts, name in ((self.same, "same class"), (self.different, "different classes")):
            axes.step(distances, counts / max(1, counts.sum()), where="mid", label=name)
        axes.set(xlabel="distance", ylabel="share of pairs")
        curves = axes.twinx()
        curves.plot(distances, self.precision, "k-", lw=1, label="precision within")
        curves.plot(distances, self.recall, "k:", lw=1, label="recall within")
        curves.axhline(self.wanted, color="grey", ls=":", lw=1, label=f"wanted {self.wanted:g}")
        curves.set(ylim=(0, 1.02), ylabel="precision, recall")
        if self.radius is not None:
            axes.axvline(self.radius, color="grey", ls="--", lw=1, label=f"radius {self.radius}")
        handles = [h for a in (axes, curves) for h in a.get_legend_handles_labels()[0]]
        axes.legend(handles=handles, loc="upper left", fontsize="small")
        figure.savefig(path, dpi=120)


def calibrate(
    codes: npt.NDArray[np.uint8],
    labels: npt.ArrayLike,
    *,
    bits: int,
    symbol_bits: int = 1,
    precision: float = 0.95,
    gallery_size: int | None = None,
) -> Calibration:
    """Find the largest radius within which pairs are of one class with the wanted precision.

    All pairs are compared, so this costs time in the square of the number of codes, and memory for
    the codes; some thousand codes are plenty. Ctrl-C is heard at once.

    Args:
        codes: Packed codes uint8 (n, bytes), n >= 2.
        labels: Class of each code, integers (n,).
        bits: Bits of one code.
        symbol_bits: Bits of one symbol.
        precision: Wanted share of same-class pairs, in (0, 1].
        gallery_size: Codes of the gallery to expect false hits in; None means n.

    Raises:
        UsageError: Labels do not match the codes, or the precision, bits or symbols are out of
            range.
        CodeError: The codes are not packed codes of ``bits`` bits.
    """
    at_least("bits", bits, 1, MAX_BITS)
    at_least("symbol_bits", symbol_bits, 1, 8)
    packed = check_codes(codes, bits)
    classes = as_array("labels", labels)
    if classes.shape != (len(packed),) or classes.dtype.kind not in "iu" or len(packed) < 2:
        raise UsageError(
            f"labels: got {classes.dtype} {classes.shape}, expected one integer for each of the "
            f"{len(packed)} codes, and at least two codes"
        )
    if not isinstance(precision, Real) or not 0 < precision <= 1:
        raise UsageError(f"precision = {precision!r}, expected a number in (0, 1]")
    size = len(packed) if gallery_size is None else at_least("gallery_size", gallery_size, 1)
    _core.Index(bits, symbol_bits)  # refuses symbols that do not divide the bits
    same, different = pair_counts(packed, classes, bits, symbol_bits)
    good = np.flatnonzero(_precision(same, different) >= precision)  # NaN, no pairs, is not
    radius = int(good[-1]) if len(good) else None
    return Calibration(radius, precision, same, different, size)


def _precision(same: Counts, different: Counts) -> Curve:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.cumsum(same) / np.cumsum(same + different)
