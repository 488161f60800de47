"""HammingIndex: exact Hamming search over packed binary codes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dsah_infer import _core
from dsah_infer.contract import CodeContract, check_codes
from dsah_infer.errors import ContractError, IndexFileError, SpaceMismatchError, UsageError

__all__ = ["HammingIndex"]

Codes = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]
OnDuplicate = Literal["raise", "skip", "replace"]

#: Sections of the file that the index itself keeps; the rest is the caller's.
_CONTRACT, _SOURCES = "contract", "sources"


class HammingIndex:
    """A gallery of binary codes, searched exactly, in the order (distance, id).

    Args:
        bits: Stored bits of one code, 1 to 4096.
        symbol_bits: 1, 2, 4 or 8; the distance counts differing symbols of that many bits.
        contract: Record of the codes' producer; codes of another space are then refused.
        threads: Most threads of one call; None takes CPU affinity and cgroup quota.
        isa: ``"avx512"``, ``"avx2"``, ``"popcnt"`` or ``"portable"``; None takes ``DSAH_ISA``
            from the environment, else the fastest that this machine has.
        sublinear: Allow structures beside the codes that make searches faster than a scan.

    Any number of threads may search while one changes the index; each call sees one consistent
    state. The GIL is released.

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
        if contract and (contract.bits, contract.symbol_bits) != (bits, symbol_bits):
            raise ContractError(
                f"the contract has bits = {contract.bits}, symbol_bits = {contract.symbol_bits}; "
                f"asked for were {bits} and {symbol_bits}"
            )
        self._bits = _at_least("bits", bits, 1)
        self._symbol_bits = _at_least("symbol_bits", symbol_bits, 1)
        self._options = _options(threads, isa, sublinear)
        self._core = _core.Index(self._bits, self._symbol_bits, **self._options)
        self._start(contract, {})

    def _start(self, contract: CodeContract | None, sections: dict[str, bytes]) -> None:
        self.contract = contract
        self.sections = sections
        #: Fingerprints whose codes are in the index, the contract's own first.
        self.fingerprints: tuple[str, ...] = (contract.fingerprint,) if contract else ()
        self._mapped_from: tuple[str, int] | None = None

    @property
    def bits(self) -> int:
        """Stored bits of one code."""
        return self._bits

    @property
    def symbol_bits(self) -> int:
        """Bits of one symbol; 1 for sign codes."""
        return self._symbol_bits

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
        other_fingerprint: Literal["refuse", "accept"] = "refuse",
    ) -> int:
        """Add codes.

        Args:
            codes: Packed codes uint8 (n, ceil(bits / 8)), or one code (bytes,).
            ids: One id from 0 to 2**63 - 2 per code; None continues after the largest so far.
            on_duplicate: What to do with an id that is present or given twice: ``"raise"``,
                ``"skip"`` the later one, or ``"replace"`` the earlier one.
            contract: Record of the codes' producer, checked against the index's own.
            other_fingerprint: Whether another artefact of the same space may add; it is
                recorded in `fingerprints`.

        Returns:
            How many codes were added.

        Raises:
            CodeError: Wrong dtype or width, or non-zero padding bits.
            UsageError: A bad or duplicate id; nothing is added then.
            SpaceMismatchError: Codes of another space, or of another artefact unasked.
        """
        if on_duplicate not in ("raise", "skip", "replace"):
            raise UsageError(
                f"on_duplicate = {on_duplicate!r}, allowed: 'raise', 'skip', 'replace'"
            )
        self._check_producer(contract, other_fingerprint)
        packed = self._packed(codes, "codes")
        count = self._core.add(packed, None if ids is None else _ids(ids), on_duplicate)
        if contract and contract.fingerprint not in self.fingerprints:
            self.fingerprints += (contract.fingerprint,)
        return count

    def upsert(self, codes: Codes, ids: npt.ArrayLike) -> int:
        """Add codes, replacing those whose id is present; of an id given twice the last wins."""
        return self.add(codes, ids, on_duplicate="replace")

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove the ids that are present; returns how many that were."""
        return self._core.remove(_ids(ids))

    def compact(self) -> None:
        """Give the memory of removed codes back; ids and answers stay the same."""
        self._core.compact()

    def reserve(self, count: int) -> None:
        """Prepare for ``count`` more codes, so that they lie in one piece of memory."""
        self._core.reserve(_at_least("count", count, 0))

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 0:
            return False
        return bool(self._core.get(_ids([int(number)]))[1][0])

    def get(self, ids: npt.ArrayLike) -> Codes:
        """Codes of the given ids, uint8 (n, bytes).

        Raises:
            UsageError: An id is not in the index.
        """
        wanted = _ids(ids)
        codes, present = self._core.get(wanted)
        if not present.all():
            raise UsageError(f"id {int(wanted[~present][0])} is not in the index")
        return codes

    def chunks(self, size: int = 65536) -> Iterator[tuple[Codes, Ids]]:
        """All codes with their ids, in chunks of up to ``size``, as of the first step."""
        _at_least("size", size, 1)
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
    ) -> tuple[Distances, Ids]:
        """The ``k`` nearest codes of each query, by (distance, id) ascending.

        Args:
            queries: Packed codes uint8 (m, bytes), or one code (bytes,).
            k: Results per query, at least 1.
            allow: Only these may be found: an array of ids, or a boolean mask (max id + 1,)
                indexed by id.
            weights: Activations float32 (m, bits) of the queries. Results are then the exact
                top-k by (asymmetric distance, Hamming distance, id), where the asymmetric
                distance sums |activation| over the differing bits.
            contract: Record of the queries' producer; another space is refused.

        Returns:
            Hamming distances int32 (m, k) and ids int64 (m, k); places without a result hold
            distance 2147483647 and id -1.

        Raises:
            UsageError: ``k`` < 1, weights of the wrong shape, not finite, or given for symbols.
            CodeError: Wrong dtype or width of the queries, or non-zero padding bits.
            SpaceMismatchError: Queries of another space.
        """
        self._check_producer(contract, "accept")
        _at_least("k", k, 1)
        packed = self._packed(queries, "queries")
        distances, ids = self._core.search(
            packed, k, self._allowed(allow), self._weights(weights, len(packed))
        )
        return distances, ids

    def range_search(
        self,
        queries: Codes,
        radius: int,
        *,
        limit: int | None = None,
        allow: npt.ArrayLike | None = None,
    ) -> tuple[Ids, Distances, Ids]:
        """All codes within ``radius`` of each query.

        Returns:
            ``lims`` int64 (m + 1,), distances int32 and ids int64; query i owns the slice
            ``lims[i]:lims[i + 1]``, in order (distance, id). With ``limit`` the nearest that
            many of each.
        """
        if limit is not None:
            _at_least("limit", limit, 1)
        return self._core.range_search(
            self._packed(queries, "queries"),
            _at_least("radius", radius, 0),
            limit,
            self._allowed(allow),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file; a crash at any moment leaves the old file or the new one.

        Raises:
            OSError: The file cannot be written.
        """
        sections = dict(self.sections)
        reserved = {_CONTRACT, _SOURCES} & set(sections)
        if reserved:
            raise UsageError(f"section names {sorted(reserved)} belong to the index itself")
        if self.contract:
            sections[_CONTRACT] = self.contract.to_json().encode()
            sections[_SOURCES] = json.dumps(list(self.fingerprints)).encode()
        self._core.save(os.fspath(path), sections)

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
                until `save`.
            verify: Compare the checksums of codes and ids now (``"eager"``, the default unless
                mapped) or before the first use of them (``"lazy"``).
            threads: As in the constructor.
            isa: As in the constructor.
            sublinear: As in the constructor.

        Raises:
            OSError: The file cannot be opened.
            IndexFileError: It is damaged, truncated, of something else or of a newer version.
        """
        when = verify or ("lazy" if mmap else "eager")
        if when not in ("eager", "lazy"):
            raise UsageError(f"verify = {verify!r}, allowed: 'eager', 'lazy'")
        options = _options(threads, isa, sublinear)
        core, bits, symbol_bits, sections = _core.load(
            os.fspath(path), mmap, when == "eager", **options
        )
        self = cls.__new__(cls)
        self._bits, self._symbol_bits, self._core, self._options = bits, symbol_bits, core, options
        try:
            record = sections.pop(_CONTRACT, None)
            contract = CodeContract.from_json(record) if record is not None else None
            sources = json.loads(sections.pop(_SOURCES, b"[]"))
        except (ContractError, ValueError) as error:
            raise IndexFileError(f"{os.fspath(path)}: {error}") from None
        if contract and (contract.bits, contract.symbol_bits) != (bits, symbol_bits):
            raise IndexFileError(f"{os.fspath(path)}: contract and codes differ in their bits")
        self._start(contract, sections)
        if contract and sources:
            self.fingerprints = tuple(str(s) for s in sources)
        return self

    def _packed(self, codes: Codes, what: str) -> Codes:
        return check_codes(codes, self._bits, what=what)

    def _check_producer(self, producer: CodeContract | None, other: str) -> None:
        own = self.contract
        if producer is None or own is None:
            return
        if producer.space != own.space or producer.bits != own.bits:
            raise SpaceMismatchError(
                f"the codes are of space {producer.space!r} ({producer.bits} bits), the index "
                f"holds {own.space!r} ({own.bits} bits); encode with the model of the index"
            )
        if other != "accept" and producer.fingerprint not in self.fingerprints:
            raise SpaceMismatchError(
                f"the codes come from {producer.fingerprint!r}, another artefact of the same "
                f"space as {self.fingerprints}; pass other_fingerprint='accept' to mix them"
            )

    def _allowed(self, allow: npt.ArrayLike | None) -> Ids | None:
        if allow is None:
            return None
        array = np.asarray(allow)
        if array.dtype == np.bool_:
            return np.flatnonzero(array).astype(np.int64)
        return _ids(array)

    def _weights(self, weights: npt.ArrayLike | None, count: int) -> Any:
        if weights is None:
            return None
        array = np.asarray(weights, dtype=np.float32)
        array = array[None] if array.ndim == 1 else array
        if self._symbol_bits != 1:
            raise UsageError("weights rank sign codes only; this index holds symbols")
        if array.shape != (count, self._bits) or not np.isfinite(array).all():
            raise UsageError(
                f"weights: got shape {array.shape}, expected finite values ({count}, {self._bits})"
            )
        return array


def _at_least(name: str, value: int, least: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} = {value!r}, expected an integer of at least {least}")
    return int(value)


def _ids(ids: npt.ArrayLike) -> Ids:
    array = np.asarray(ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim == 0:
        array = array[None]
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise UsageError(f"ids: got {array.dtype} {array.shape}, expected integers (n,)")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise UsageError("ids must be from 0 to 2**63 - 2")
    return np.ascontiguousarray(array, dtype=np.int64)


def _options(threads: int | None, isa: str | None, sublinear: bool) -> dict[str, Any]:
    count = 0 if threads is None else _at_least("threads", threads, 1)
    return {"threads": count, "isa": isa or "", "sublinear": bool(sublinear)}
