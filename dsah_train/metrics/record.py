"""The record of an evaluation: every figure of one set of codes, to JSON and back."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from dsah_infer.errors import UsageError
from dsah_train.metrics.bits import CodeHealth
from dsah_train.metrics.intervals import Interval

__all__ = ["Curve", "Evaluation"]


@dataclass(frozen=True)
class Curve:
    """Mean precision and recall over queries at some cut-offs, for plots.

    Attributes:
        at: Cut-offs: ranks N, or radii.
        precision: Mean precision of the items within the cut-off.
        recall: Mean share of a query's relevant items within the cut-off.
    """

    at: tuple[int, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """Retrieval quality of one set of codes. Definitions: `average_precision`, `ties`.

    All means are over all queries; a query without relevant items in the gallery counts as 0.

    Attributes:
        bits: Stored bits of one code.
        symbol_bits: Bits of one symbol; distances count symbols.
        queries: Number of queries.
        gallery: Number of gallery items.
        queries_without_match: Queries that no gallery item is relevant to.
        map: MAP@all in the production order (distance, id), ids drawn by `ranking.numbering`.
        map_interval: Its 95 % bootstrap interval over queries.
        map_expected: MAP@all expected over all orders of equal distances, exact.
        map_best: MAP@all when every tie falls well.
        map_worst: MAP@all when every tie falls badly.
        map_at: MAP@k by k, denominator min(R, k).
        map_at_retrieved: MAP@k by k, denominator the relevant items among the first k.
        precision_at: Mean precision of the first N items, by N.
        precision_radius2: Mean precision of the items within distance 2; an empty ball is 0.
        empty_radius2: Share of queries with nothing within distance 2.
        map_asymmetric: MAP@all with float queries against stored bits, where activations were
            given.
        by_rank: Precision and recall over ranks: the PR curve.
        by_radius: Precision and recall over radii 0..max; an empty ball has precision 0.
        relevant_distances: Relevant pairs at each distance 0..max, over all queries.
        irrelevant_distances: The other pairs at each distance.
        health: Bit statistics of the gallery codes.
        average_precision: AP@all of each query, in query order.
        average_precision_expected: The same expected over all orders of equal distances, exact;
            its mean is ``map_expected``. Empty in a record that was written before there was one.
    """

    bits: int
    symbol_bits: int
    queries: int
    gallery: int
    queries_without_match: int
    map: float
    map_interval: Interval
    map_expected: float
    map_best: float
    map_worst: float
    map_at: dict[int, float]
    map_at_retrieved: dict[int, float]
    precision_at: dict[int, float]
    precision_radius2: float
    empty_radius2: float
    map_asymmetric: float | None
    by_rank: Curve
    by_radius: Curve
    relevant_distances: tuple[int, ...]
    irrelevant_distances: tuple[int, ...]
    health: CodeHealth
    average_precision: tuple[float, ...]
    average_precision_expected: tuple[float, ...] = ()

    def to_json(self) -> str:
        """JSON text; the keys of the per-cut-off tables become strings."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Inverse of `to_json`.

        Raises:
            UsageError: Text of something else.
        """
        try:
            return cls.from_dict(json.loads(text))
        except ValueError as error:
            raise UsageError(f"not a record of an evaluation ({error})") from None

    @classmethod
    def from_dict(cls, record: object) -> Evaluation:
        """From the decoded JSON of `to_json`.

        Raises:
            UsageError: A record of something else.
        """
        try:
            fields = dict(record)  # type: ignore[call-overload]
            for name in ("map_at", "map_at_retrieved", "precision_at"):
                fields[name] = {int(k): v for k, v in fields[name].items()}
            fields.setdefault("average_precision_expected", ())
            for name in (
                "relevant_distances",
                "irrelevant_distances",
                "average_precision",
                "average_precision_expected",
            ):
                fields[name] = tuple(fields[name])
            for name in ("by_rank", "by_radius"):
                fields[name] = Curve(**{k: tuple(v) for k, v in fields[name].items()})
            fields["map_interval"] = Interval(**fields["map_interval"])
            ones = tuple(fields["health"]["ones"])
            fields["health"] = CodeHealth(**(fields["health"] | {"ones": ones}))
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"not a record of an evaluation ({error!r})") from None
