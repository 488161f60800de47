"""HammingIndex: exact Hamming search over packed binary codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import dsah_infer._core as _core
from dsah_infer import index_storage
from dsah_infer.calibrate import Calibration, calibrate
from dsah_infer.contract import CodeContract, check_codes
from dsah_infer.errors import ContractError, UsageError
from dsah_infer.index_arguments import (
    allowed_ids,
    at_least,
    check_producer,
    check_weights,
    core_options,
    one_of,
    to_ids,
)

__all__ = ["HammingIndex"]

Codes = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]
OnDuplicate = Literal["raise", "skip", "replace"]
OtherFingerprint = Literal["refuse", "accept"]
_PAIR_QUERIES = 1024


class HammingIndex:
    """A gallery of binary codes, searched exactly, in the order (distance, id).

    Any number of threads may search while one changes the index; each call sees one consistent
    state. The GIL is released.

    Args:
        bits: Stored bits of one code, 1 to 4096.
        symbol_bits: 1, 2, 4 or 8; the distance counts differing symbols of that many bits.
        contract: Record of the codes' producer; codes of another space are then refused.
        threads: Most threads of one call; None takes CPU affinity and cgroup quota.
        isa: ``"avx512"``, ``"avx2"``, ``"popcnt"`` or ``"portable"``; None takes ``DSAH_ISA``
            from the environment, else the fastest that this machine has.
        sublinear: Allow structures beside the codes where they make searches faster than a scan.

    Attributes:
        contract: As given, or read from the file.
        fingerprints: Artefacts whose codes are in the index, the contract's own first.
        sections: Named blobs of the caller's that are saved and loaded with the index.

    Raises:
        UsageError: An argument is out of range.
        ContractError: The contract has other bits or symbols than asked for.
    """

    def __init__(
        self,
        bits: int,
        *,
        symbol_bits: int = 1,
        contract: CodeContract | None = None,
        threads: int | None = None,
        isa: str | None = None,
        sublinear: bool = True,
    ) -> None:
        self.bits = at_least("bits", bits, 1)
        self.symbol_bits = at_least("symbol_bits", symbol_bits, 1)
        self._options = core_options(threads, isa, sublinear)
        self._core = _core.Index(self.bits, self.symbol_bits, **self._options)
        if contract and (contract.bits, contract.symbol_bits) != (bits, symbol_bits):
            raise ContractError(
                f"the contract has bits = {contract.bits}, symbol_bits = {contract.symbol_bits}; "
                f"asked for were {bits} and {symbol_bits}"
            )
        self.contract = contract
        self.fingerprints: tuple[str, ...] = (contract.fingerprint,) if contract else ()
        self.sections: dict[str, bytes] = {}
        self._mapped_from: str | None = None

    @property
    def isa(self) -> str:
        """Instruction set in use."""
        return self._core.isa

    @property
    def threads(self) -> int:
        """Most threads of one call."""
        return self._core.threads

    def __len__(self) -> int:
        return len(self._core)

    def __repr__(self) -> str:
        return f"HammingIndex(bits={self.bits}, codes={len(self)}, isa={self.isa!r})"

    def add(
        self,
        codes: Codes,
        ids: npt.ArrayLike | None = None,
        *,
        on_duplicate: OnDuplicate = "raise",
        contract: CodeContract | None = None,
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> int:
        """Add codes; returns how many were added.

        Args:
            codes: Packed codes uint8 (n, ceil(bits / 8)), or one code (bytes,).
            ids: One id from 0 to 2**63 - 2 per code; None continues after the largest so far.
            on_duplicate: What to do with an id that is present or given twice: ``"raise"``,
                ``"skip"`` the later one, or ``"replace"`` the earlier one.
            contract: Record of the codes' producer, checked against the index's own.
            other_fingerprint: Whether another artefact of the same space may add; it is then
                recorded in `fingerprints`.

        Raises:
            CodeError: Wrong dtype or width, or non-zero padding bits.
            UsageError: A bad or duplicate id; nothing is added then.
            SpaceMismatchError: Codes of another space, or of another artefact unasked.
        """
        one_of("on_duplicate", on_duplicate, ("raise", "skip", "replace"))
        self._check_producer(contract, other_fingerprint)
        packed = check_codes(codes, self.bits)
        count = self._core.add(packed, None if ids is None else to_ids(ids), on_duplicate)
        if contract and self.contract and contract.fingerprint not in self.fingerprints:
            self.fingerprints += (contract.fingerprint,)
        return count

    def upsert(self, codes: Codes, ids: npt.ArrayLike) -> int:
        """Add codes, replacing those whose id is present; of an id given twice the last wins."""
        return self.add(codes, ids, on_duplicate="replace")

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove the ids that are present; returns how many that were."""
        return self._core.remove(to_ids(ids))

    def merge(self, other: HammingIndex, *, on_duplicate: OnDuplicate = "raise") -> int:
        """Add all codes of another index under their ids; returns how many were added.

        Raises:
            UsageError: Other bits or symbols, or a duplicate id; nothing is added then.
            SpaceMismatchError: The other index holds another space.
        """
        if (other.bits, other.symbol_bits) != (self.bits, self.symbol_bits):
            raise UsageError(f"cannot merge {other!r} into {self!r}: their codes differ in form")
        self._check_producer(other.contract, "accept")
        parts = list(other.chunks())
        if not parts:
            return 0
        codes, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        count = self.add(codes, ids, on_duplicate=on_duplicate)
        new = [f for f in other.fingerprints if f not in self.fingerprints]
        self.fingerprints += tuple(new) if self.contract else ()
        return count

    def compact(self) -> None:
        """Give the memory of removed codes back; ids and answers stay the same."""
        self._core.compact()

    def reserve(self, count: int) -> None:
        """Prepare for ``count`` more codes, so that they lie in one piece of memory."""
        self._core.reserve(at_least("count", count, 0))

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            return False
        if not 0 <= number < np.iinfo(np.int64).max:
            return False
        return bool(self._core.get(to_ids([int(number)]))[1][0])

    def get(self, ids: npt.ArrayLike) -> Codes:
        """Codes of the given ids, uint8 (n, bytes); UsageError names an id that is absent."""
        wanted = to_ids(ids)
        codes, present = self._core.get(wanted)
        if not present.all():
            raise UsageError(f"id {int(wanted[~present][0])} is not in the index")
        return codes

    def chunks(self, size: int = 65536) -> Iterator[tuple[Codes, Ids]]:
        """All codes with their ids, in chunks of up to ``size``, as of the first step."""
        at_least("size", size, 1)
        snapshot, row = self._core.snapshot(), 0
        while True:
            codes, ids, row = self._core.rows_from(snapshot, row, size)
            if not len(ids):
                return
            yield codes, ids

    def __iter__(self) -> Iterator[tuple[Codes, Ids]]:
        return self.chunks()

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
            k: Results per query, at least 1.
            allow: Only these may be found: ids, or a boolean mask indexed by id.
            weights: The queries' activations float32 (m, bits). Results are then the exact top-k
                by (asymmetric distance, Hamming distance, id); the asymmetric distance sums
                |activation|, rounded to 2**-40 of the largest, over the differing bits.
            contract: Record of the queries' producer, checked against the index's own.
            other_fingerprint: Whether another artefact of the same space may ask.

        Returns:
            Hamming distances int32 (m, k) and ids int64 (m, k); places without a result hold
            distance 2147483647 and id -1.

        Raises:
            UsageError: ``k`` < 1; weights of the wrong shape, not finite, or for symbols.
            CodeError: Wrong dtype or width of the queries, or non-zero padding bits.
            SpaceMismatchError: Queries of another space, or of another artefact unasked.
        """
        self._check_producer(contract, other_fingerprint)
        at_least("k", k, 1)
        packed = check_codes(queries, self.bits, what="queries")
        checked = check_weights(weights, len(packed), self.bits, self.symbol_bits)
        return self._core.search(packed, k, allowed_ids(allow), checked)

    def range_search(
        self,
        queries: Codes,
        radius: int,
        *,
        limit: int | None = None,
        allow: npt.ArrayLike | None = None,
    ) -> tuple[Ids, Distances, Ids]:
        """All codes within ``radius`` of each query, or the nearest ``limit`` of them.

        Returns:
            ``lims`` int64 (m + 1,), distances int32 and ids int64; query i owns the slice
            ``lims[i]:lims[i + 1]``, in order (distance, id).
        """
        packed = check_codes(queries, self.bits, what="queries")
        most = None if limit is None else at_least("limit", limit, 1)
        return self._core.range_search(packed, self._radius(radius), most, allowed_ids(allow))

    def count(self, queries: Codes, radius: int, *, allow: npt.ArrayLike | None = None) -> Ids:
        """How many codes lie within ``radius`` of each query, int64 (m,)."""
        packed = check_codes(queries, self.bits, what="queries")
        return self._core.count(packed, self._radius(radius), allowed_ids(allow))

    def pairs_within(self, radius: int) -> Iterator[tuple[Ids, Ids, Distances]]:
        """All pairs of codes at most ``radius`` apart, as (ids a, ids b, distances) with a < b.

        Pairs come in chunks, ascending by (a, distance, b), so a whole gallery is deduplicated
        in little memory. The index may change meanwhile; pairs are as of the first step.
        """
        reach = self._radius(radius)
        if not len(self):
            return
        # A first search lets the planner build what pays; the snapshot then carries it.
        first, _, _ = self._core.rows_from(self._core.snapshot(), 0, _PAIR_QUERIES)
        self._core.range_search(first, reach, 1)
        snapshot = self._core.snapshot()
        for codes, ids in index_storage.by_rising_id(self._core, snapshot, _PAIR_QUERIES):
            lims, distances, partners = self._core.range_search(
                codes, reach, only_above=ids, snapshot=snapshot
            )
            if len(partners):
                yield np.repeat(ids, np.diff(lims)), partners, distances

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

    def build(self) -> None:
        """Build the sub-linear structures now, instead of when a search finds that they pay."""
        self._core.build()

    def explain(self) -> dict[str, Any]:
        """How the last search went: its path, why, the steps taken and the expected cost."""
        return self._core.explain()

    def stats(self) -> dict[str, Any]:
        """Counts, bytes of each part, and time and bytes of the structures beside the codes."""
        return self._core.stats()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file; a crash at any moment leaves the old file or the new one.

        Raises:
            OSError: The file cannot be written.
            UsageError: A section has a name that the format cannot hold.
        """
        index_storage.save(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        *,
        verify: Literal["eager", "lazy"] | None = None,
        threads: int | None = None,
        isa: str | None = None,
        sublinear: bool = True,
    ) -> HammingIndex:
        """Read an index file.

        Args:
            path: The file.
            mmap: Search the file in place, without reading it first; changes stay in memory
                until `save`, and structures are built only by `build`.
            verify: Compare the checksums of codes and ids now (``"eager"``, the default unless
                mapped) or before their first use (``"lazy"``).
            threads: As in the constructor.
            isa: As in the constructor.
            sublinear: As in the constructor.

        Raises:
            OSError: The file cannot be opened.
            IndexFileError: It is damaged, truncated, of something else or of a newer version.
        """
        when = one_of("verify", verify or ("lazy" if mmap else "eager"), ("eager", "lazy"))
        options = core_options(threads, isa, sublinear)
        return index_storage.load(cls, os.fspath(path), mmap, when == "eager", options)

    def __reduce__(self) -> tuple[Any, ...]:
        return index_storage.reduce(self)

    def _radius(self, radius: int) -> int:
        return min(at_least("radius", radius, 0), self.bits)

    def _check_producer(self, producer: CodeContract | None, other: OtherFingerprint) -> None:
        one_of("other_fingerprint", other, ("refuse", "accept"))
        check_producer(producer, self.contract, self.fingerprints, other_fingerprint=other)
