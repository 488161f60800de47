"""A map of the code space: t-SNE on Hamming distances."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import check_codes, unpack_bits
from dsah_infer.errors import MissingDependencyError, UsageError, install_hint
from dsah_train.plots.style import COLOURS, INK, MARKERS, MUTED, axes, save

__all__ = ["code_map"]

MAX_POINTS = 2000  # t-SNE is quadratic here, and more points hide each other


def code_map(
    codes: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    class_names: tuple[str, ...],
    out_png: str | os.PathLike[str],
    *,
    bits: int,
    symbol_bits: int = 1,
    seed: int = 0,
) -> Path:
    """Lay codes out in the plane so that near codes stay near (t-SNE, van der Maaten 2008).

    Equal codes are drawn as one point of larger area, so what looks like one point is one code.
    Axes have no unit: only nearness means something.

    Args:
        codes: Packed codes, uint8 (n, ceil(bits / 8)).
        labels: Class index of each code, int64 (n,).
        class_names: Name of each class.
        out_png: File to write.
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; distances count symbols.
        seed: Seed of the layout and of the sample of at most 2,000 codes.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        UsageError: Labels do not fit the codes.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise MissingDependencyError(
            f"the code map needs scikit-learn: {install_hint('train')}"
        ) from None
    codes = check_codes(codes, bits)
    if labels.shape != (len(codes),):
        raise UsageError(f"{len(codes)} codes with labels of shape {labels.shape}; expected (n,)")
    rng = np.random.default_rng(seed)
    if len(codes) > MAX_POINTS:
        chosen = np.sort(rng.choice(len(codes), MAX_POINTS, replace=False))
        codes, labels = codes[chosen], labels[chosen]
    points, counts = np.unique(np.column_stack([codes, labels]), axis=0, return_counts=True)
    kinds = points[:, -1].astype(int)
    symbols = unpack_bits(points[:, :-1].astype(np.uint8), bits).reshape(
        len(points), -1, symbol_bits
    )
    # Row by row: all pairs of long codes at once would take gigabytes.
    far = np.stack([(symbols != one).any(axis=-1).sum(axis=-1) for one in symbols])
    far = far.astype(np.float32)
    if len(points) > 3:
        place = TSNE(
            metric="precomputed",
            init="random",
            perplexity=min(30.0, (len(points) - 1) / 3),
            random_state=seed,
        ).fit_transform(far)
    else:
        place = rng.normal(size=(len(points), 2))  # too few codes for a neighbourhood

    figure, (cell,) = axes(width=7.2, height=5.2)
    for order, kind in enumerate(np.unique(kinds)):
        of_kind = kinds == kind
        # Colours repeat after eight classes; the marker then tells them apart.
        cell.scatter(
            place[of_kind, 0],
            place[of_kind, 1],
            s=14 + 9 * np.sqrt(counts[of_kind] - 1),
            color=COLOURS[order % len(COLOURS)],
            marker=MARKERS[order // len(COLOURS) % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            label=class_names[kind],
        )
    cell.set_xticks([])
    cell.set_yticks([])
    cell.spines[["left", "bottom"]].set_visible(False)
    cell.set_title(
        f"{len(codes):,} codes, {len(np.unique(codes, axis=0)):,} distinct (t-SNE on distances)",
        loc="left",
        color=INK,
    )
    if len(np.unique(kinds)) <= 34:
        cell.legend(
            frameon=False, fontsize=7, labelcolor=MUTED, loc="center left", bbox_to_anchor=(1, 0.5)
        )
    return save(figure, out_png)
