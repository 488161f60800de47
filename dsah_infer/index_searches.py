"""The questions that `HammingIndex` answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dsah_infer import index_storage
from dsah_infer.calibrate import Calibration, calibrate
from dsah_infer.contract import CodeContract
from dsah_infer.index_arguments import at_least, check_allow, check_weights
from dsah_infer.index_state import Codes, Distances, Ids, IndexState, OtherFingerprint

__all__ = ["IndexSearches"]

_PADDED = 65536  # results; more are not filled up, which could take any amount of memory
_PAIR_QUERIES = 1024
_PAIRS_EACH = 4096


class IndexSearches(IndexState):
    """Searching. Every answer is exact and in the order (distance, id)."""

    def search(
        self,
        queries: Codes,
        k: int,
        *,
        allow: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        contract: CodeContract | None = None,
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> tuple[Distances, Ids]:
        """The ``k`` nearest codes of each query, by (distance, id) ascending.

        Args:
            queries: Packed codes uint8 (m, bytes), or one code (bytes,).
            k: Results per query, at least 1. Above 65,536 it counts as the number of codes where
                that is less, so that any ``k`` beyond the index gives all codes.
            allow: Only these may be found: ids, of which some may be absent, or a boolean mask
                indexed by id, which must reach the largest id and may be longer.
            weights: The queries' activations float32 (m, bits). Results are then the exact top-k
                by (asymmetric distance, Hamming distance, id); the asymmetric distance sums
                |activation|, rounded to 2**-40 of the largest, over the differing bits.
            contract: Record of the queries' producer, checked against the index's own.
            other_fingerprint: Whether another artefact of the same space may ask.

        Returns:
            Hamming distances int32 (m, k) and ids int64 (m, k); places without a result hold
            distance 2147483647 and id -1.

        Raises:
            UsageError: ``k`` < 1; a mask that is too short; weights of the wrong shape, not finite,
                or for symbols.
            CodeError: Wrong dtype or width of the queries, or non-zero padding bits.
            SpaceMismatchError: Queries of another space or none, or of another artefact unasked.
        """
        packed = self._codes(queries, contract, other_fingerprint, "queries")
        if at_least("k", k, 1) > _PADDED:
            k = min(k, len(self))
        checked = check_weights(weights, len(packed), self.bits, self.symbol_bits)
        return self._core.search(packed, k, check_allow(allow), checked)

    def range_search(
        self,
        queries: Codes,
        radius: int,
        *,
        limit: int | None = None,
        allow: npt.ArrayLike | None = None,
        contract: CodeContract | None = None,
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> tuple[Ids, Distances, Ids]:
        """All codes within ``radius`` of each query, or the nearest ``limit`` of them.

        Queries, ``allow`` and ``contract`` are taken and refused as in `search`.

        Returns:
            ``lims`` int64 (m + 1,), distances int32 and ids int64; query i owns the slice
            ``lims[i]:lims[i + 1]``, in order (distance, id).
        """
        packed = self._codes(queries, contract, other_fingerprint, "queries")
        most = None if limit is None else at_least("limit", limit, 1)
        return self._core.range_search(packed, self._radius(radius), most, check_allow(allow))

    def count(
        self,
        queries: Codes,
        radius: int,
        *,
        allow: npt.ArrayLike | None = None,
        contract: CodeContract | None = None,
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> Ids:
        """How many codes lie within ``radius`` of each query, int64 (m,).

        Queries, ``allow`` and ``contract`` are taken and refused as in `search`.
        """
        packed = self._codes(queries, contract, other_fingerprint, "queries")
        return self._core.count(packed, self._radius(radius), check_allow(allow))

    def pairs_within(self, radius: int) -> Iterator[tuple[Ids, Ids, Distances]]:
        """All pairs of codes at most ``radius`` apart, as (ids a, ids b, distances) with a < b.

        Pairs come in chunks, ascending by (a, distance, b), so a whole gallery is deduplicated
        in little memory: some 100 MB, or what one code's partners take if that is more. The index
        may change meanwhile; pairs are as of the first step.

        Raises:
            UsageError: A negative radius; at the call.
        """
        return self._pairs(self._radius(radius))

    def _pairs(self, reach: int) -> Iterator[tuple[Ids, Ids, Distances]]:
        if not len(self):
            return
        # A first search lets the planner build what pays; the snapshot then carries it.
        first, _, _ = self._core.rows_from(self._core.snapshot(), 0, _PAIR_QUERIES)
        self._core.range_search(first, reach, 1)
        snapshot = self._core.snapshot()

        def near(codes: Codes, ids: Ids, most: int | None) -> tuple[Ids, Distances, Ids]:
            return self._core.range_search(codes, reach, most, only_above=ids, snapshot=snapshot)

        for codes, ids in index_storage.by_rising_id(self._core, snapshot, _PAIR_QUERIES):
            lims, distances, partners = near(codes, ids, _PAIRS_EACH)
            sizes = np.diff(lims)
            begin = 0
            # Codes with more partners than that are asked about again, one at a time.
            for end in (*np.flatnonzero(sizes == _PAIRS_EACH).tolist(), len(ids)):
                part = slice(lims[begin], lims[end])
                if part.start < part.stop:
                    yield (
                        np.repeat(ids[begin:end], sizes[begin:end]),
                        partners[part],
                        distances[part],
                    )
                if end < len(ids):
                    one = slice(end, end + 1)
                    _, all_distances, all_partners = near(codes[one], ids[one], None)
                    yield np.full(len(all_partners), ids[end]), all_partners, all_distances
                begin = end + 1

    def calibrate(
        self, codes: Codes, labels: npt.ArrayLike, *, precision: float = 0.95
    ) -> Calibration:
        """The radius that gives a wanted precision on labelled codes; see `calibrate`."""
        return calibrate(
            codes,
            labels,
            bits=self.bits,
            symbol_bits=self.symbol_bits,
            precision=precision,
            gallery_size=len(self) or None,
        )

    def _radius(self, radius: int) -> int:
        return min(at_least("radius", radius, 0), self.bits)
