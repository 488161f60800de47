"""What every part of `HammingIndex` shares: the core, the form of the codes, their producer."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

import dsah_infer._core as _core
from dsah_infer.contract import MAX_BITS, CodeContract, check_codes
from dsah_infer.fork_lock import ForkSafeLock
from dsah_infer.index_arguments import (
    at_least,
    check_contract,
    check_form,
    check_producer,
    core_options,
    in_c_order,
    one_of,
)

__all__ = ["Codes", "Distances", "Ids", "IndexState", "OtherFingerprint", "Producers"]

Codes = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]
OtherFingerprint = Literal["refuse", "accept"]


class Producers(NamedTuple):
    """Whose codes an index holds; in one piece, so that readers never see half a change.

    Attributes:
        contract: What all of them have in common.
        fingerprints: The artefacts, the contract's own first.
    """

    contract: CodeContract | None
    fingerprints: tuple[str, ...]


class IndexState:
    """Fields of an index, documented at `HammingIndex`."""

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
        self.bits = at_least("bits", bits, 1, MAX_BITS)
        self.symbol_bits = at_least("symbol_bits", symbol_bits, 1, 8)
        self._options = core_options(threads, isa, sublinear)
        self._core = _core.Index(self.bits, self.symbol_bits, **self._options)
        if contract := check_contract(contract):
            check_form(contract, self.bits, self.symbol_bits)
        self._producers = Producers(contract, (contract.fingerprint,) if contract else ())
        self._writers = ForkSafeLock()
        self.sections: dict[str, bytes] = {}
        #: Path and stamp of the mapped file and what it held beside the codes.
        self._mapped_from: tuple[str, bytes, Producers, dict[str, bytes]] | None = None

    @property
    def contract(self) -> CodeContract | None:
        """Record of the codes' producer."""
        return self._producers.contract

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Artefacts whose codes are in the index."""
        return self._producers.fingerprints

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

    def _codes(
        self,
        codes: Codes,
        producer: CodeContract | None,
        other: OtherFingerprint,
        what: str = "codes",
    ) -> Codes:
        """Codes in one piece; refused if they are malformed or of a foreign producer."""
        self._check_producer(producer, other)
        return in_c_order(check_codes(codes, self.bits, what=what))

    def _check_producer(self, producer: CodeContract | None, other: OtherFingerprint) -> None:
        one_of("other_fingerprint", other, ("refuse", "accept"))
        check_producer(producer, *self._producers, other_fingerprint=other)
