"""Runs on the same queries, one by one: what one model gains over another, and how surely."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dsah_train.metrics import Interval, bootstrap_difference

if TYPE_CHECKING:
    from dsah_train.compare import Run

__all__ = ["Split", "paired_gain", "split_of"]


class Split(NamedTuple):
    """What two runs must share for their queries to be the same, one by one.

    Attributes:
        protocol: Protocol of the data.
        seed: Split seed.
        skipped: Pictures that could not be read.
        names: Names of the queries; empty in a record of an older version.
        queries: Number of queries.
    """

    protocol: str
    seed: int
    skipped: tuple[str, ...]
    names: tuple[str, ...]
    queries: int


def split_of(run: Run) -> Split:
    """The split of a run."""
    data = run.data
    return Split(
        data["protocol"],
        data["split_seed"],
        tuple(data["skipped"]),
        tuple(data.get("query_names", ())),
        len(run.evaluation.average_precision),
    )


def paired_gain(runs: Sequence[Run], base: Sequence[Run]) -> Interval | None:
    """Paired difference of AP over the splits that both have, with its interval over pictures.

    Args:
        runs: Runs of one experiment; those of one split are averaged for each query.
        base: Runs of the other.

    Returns:
        Mean difference over all queries of all shared splits; None where no split is shared.
    """
    ours, theirs = _scores_by_split(runs), _scores_by_split(base)
    shared = [split for split in ours if split in theirs]
    if not shared:
        return None
    if all(split.names for split in shared):
        # Splits share pictures (three of Flower-17 ask with 785, not 1,020), which are no news the
        # second time. Pictures that only share a name, as the embedded set's of two seeds do, are
        # drawn together too: fewer draws of more each, of the same spread.
        return bootstrap_difference(
            np.concatenate([ours[split] for split in shared]),
            np.concatenate([theirs[split] for split in shared]),
            clusters=[name for split in shared for name in split.names],
        )
    # Without names, splits may share every picture: as wide as one of them, to be on the safe side.
    each = [bootstrap_difference(ours[split], theirs[split]) for split in shared]
    mean, low, high = np.mean([(i.mean, i.low, i.high) for i in each], axis=0).tolist()
    return Interval(mean, low, high)


def _scores_by_split(runs: Sequence[Run]) -> dict[Split, np.ndarray]:
    """AP of each query by split, averaged over the seeds of training."""
    scores = defaultdict(list)
    for run in runs:
        scores[split_of(run)].append(run.evaluation.average_precision)
    return {split: np.mean(values, axis=0) for split, values in scores.items()}
