"""How sure a mean is: bootstrap intervals over queries, spread over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import UsageError

__all__ = ["Interval", "Spread", "bootstrap_difference", "bootstrap_mean", "spread"]

# Resampled counts are drawn for this many (resample, query) pairs at a time, 80 MB of int64.
PAIRS_PER_DRAW = 10_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with its interval."""

    mean: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over seeds.

    Attributes:
        mean: Mean over seeds.
        std: Sample standard deviation (n - 1); None for one seed.
        low: Lower end of the 95 % Student-t interval of the mean; None for one seed.
        high: Upper end.
        values: The figure of each seed.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    values: tuple[float, ...]


def bootstrap_mean(
    values: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a mean over queries (Efron, 1979).

    It says how the mean would move with other queries of the same kind, for this one trained
    model; `spread` says how it moves with other trainings.

    Args:
        values: One score per query, (m,), m >= 1.
        clusters: What each score is of, (m,), such as the name of the picture that asked: scores
            of one picture in several splits are not independent, so they are drawn together.
            Each score stands alone by default.
        level: Coverage, in (0, 1).
        resamples: Number of resampled query sets.
        seed: Seed of the resampling.

    Raises:
        UsageError: No values, not one cluster for each, or a level or number of resamples out of
            range.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise UsageError(f"bootstrap needs one score per query, got shape {scores.shape}")
    if not 0 < level < 1 or resamples < 1:
        raise UsageError(f"level = {level}, resamples = {resamples}; allowed: 0 < level < 1, >= 1")
    sums, counts = scores, np.ones_like(scores)
    if clusters is not None:
        owners = np.asarray(clusters)
        if owners.shape != scores.shape:
            raise UsageError(
                f"clusters: got shape {owners.shape}, expected one for each of {scores.shape}"
            )
        _, cluster = np.unique(owners, return_inverse=True)
        sums = np.bincount(cluster, weights=scores).astype(np.float64)
        counts = np.bincount(cluster).astype(np.float64)
    rng = np.random.default_rng(seed)
    n = len(sums)
    means = []
    left = resamples
    while left:
        draw = min(left, max(1, PAIRS_PER_DRAW // n))
        # Counts of a resample are multinomial: one matrix product instead of n look-ups each.
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=draw)
        means.append((drawn @ sums) / (drawn @ counts))
        left -= draw
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(scores.mean()), float(low), float(high), level)


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """95 % interval of mean(first) - mean(second) for scores of the *same* queries (paired).

    Args:
        first: One score per query, (m,).
        second: The scores of the other model, (m,).
        clusters: As for `bootstrap_mean`.
        resamples: Number of resampled query sets.
        seed: Seed of the resampling.

    Raises:
        UsageError: The two do not have one score for each of the same queries.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise UsageError(f"paired scores need the same queries, got {a.shape} and {b.shape}")
    return bootstrap_mean(a - b, clusters=clusters, resamples=resamples, seed=seed)


def spread(values: npt.ArrayLike) -> Spread:
    """Mean, standard deviation and 95 % Student-t interval of a figure over seeds.

    Args:
        values: The figure of each seed, (s,), s >= 1.

    Raises:
        UsageError: No values.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not len(figures):
        raise UsageError(f"spread needs one figure per seed, got shape {figures.shape}")
    mean = float(figures.mean())
    each = tuple(float(v) for v in figures)
    if len(figures) == 1:
        return Spread(mean, None, None, None, each)
    from scipy.stats import t  # only evaluation needs it; importing metrics stays light

    std = float(figures.std(ddof=1))
    half = float(t.ppf(0.975, len(figures) - 1)) * std / len(figures) ** 0.5
    return Spread(mean, std, mean - half, mean + half, each)
