"""The verbs of `HammingIndex` that change it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal

import numpy.typing as npt

from dsah_infer.contract import CodeContract, check_symbols
from dsah_infer.errors import ContractError, UsageError
from dsah_infer.index_arguments import (
    at_least,
    check_contract,
    check_form,
    check_space,
    one_of,
    to_ids,
)
from dsah_infer.index_state import Codes, IndexState, OtherFingerprint, Producers

__all__ = ["IndexChanges", "OnDuplicate"]

OnDuplicate = Literal["raise", "skip", "replace"]
_POLICIES = ("raise", "skip", "replace")


class IndexChanges(IndexState):
    """Adding and removing. Each call happens whole or, if it raises, not at all."""

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
            contract: Record of the codes' producer, checked against the index's own; it must name
                its space. An empty index without one takes it over.
            other_fingerprint: Whether another artefact of the same space may add; it is then
                recorded in `fingerprints`.

        Raises:
            CodeError: Wrong dtype or width, non-zero padding bits, or a symbol that is none by the
                contract's arity.
            UsageError: A bad or duplicate id, or no contract; nothing is added then.
            ContractError: A contract of other bits or symbols, or one for an index that has codes
                but no contract.
            SpaceMismatchError: Codes of another space or of none, or of another artefact unasked.
        """
        one_of("on_duplicate", on_duplicate, _POLICIES)
        rows = None if ids is None else to_ids(ids)
        with self._writers.now:
            adopted = self._adopted(contract)
            packed = self._codes(codes, contract, other_fingerprint)
            if own := self.contract or adopted:
                check_symbols(packed, own.symbol_bits, own.arity)
            with self._recording([contract.fingerprint] if contract else [], adopted):
                return self._core.add(packed, rows, on_duplicate)

    def upsert(
        self,
        codes: Codes,
        ids: npt.ArrayLike,
        *,
        contract: CodeContract | None = None,
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> int:
        """Add codes, replacing those whose id is present; of an id given twice the last wins.

        The producer is checked, recorded or taken over as in `add`, which raises the same errors.
        """
        if ids is None:
            raise UsageError(
                "upsert: ids = None, expected one id per code; `add` makes up new ones"
            )
        return self.add(
            codes,
            ids,
            on_duplicate="replace",
            contract=contract,
            other_fingerprint=other_fingerprint,
        )

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove the ids that are present; returns how many that were."""
        return self._core.remove(to_ids(ids))

    def merge(
        self,
        other: IndexState,
        *,
        on_duplicate: OnDuplicate = "raise",
        other_fingerprint: OtherFingerprint = "refuse",
    ) -> int:
        """Add all codes of another index under their ids; returns how many were added.

        An empty index without a contract takes over the other's.

        Args:
            other: Index of the same bits and symbols.
            on_duplicate: As in `add`.
            other_fingerprint: Whether codes of artefacts that are not recorded here may come in;
                they are then recorded in `fingerprints`.

        Raises:
            UsageError: Other bits or symbols, or a duplicate id; nothing is added then.
            SpaceMismatchError: The other index holds another space, or codes of another artefact
                unasked.
        """
        if not isinstance(other, IndexState):
            raise UsageError(f"merge: got {type(other).__name__}, expected a HammingIndex")
        if (other.bits, other.symbol_bits) != (self.bits, self.symbol_bits):
            raise UsageError(f"cannot merge {other!r} into {self!r}: their codes differ in form")
        one_of("on_duplicate", on_duplicate, _POLICIES)
        # Both stay as they are while they are compared; in one order, so that two indexes that
        # take in each other at once do not wait for one another.
        first, second = sorted((self._writers, other._writers), key=id)
        with first.now, second.now if second is not first else nullcontext():
            contract, fingerprints = other._producers
            if contract:
                for fingerprint in fingerprints:
                    self._check_producer(
                        contract.replace(fingerprint=fingerprint), other_fingerprint
                    )
            adopted = self._adopted(contract) if len(other) else None
            with self._recording(fingerprints, adopted):
                return self._core.merge(other._core, on_duplicate)

    def _adopted(self, producer: CodeContract | None) -> CodeContract | None:
        """The contract that an index without one takes over with its first codes."""
        check_contract(producer)
        if producer is None or self.contract is not None:
            return None
        check_form(producer, self.bits, self.symbol_bits)
        check_space(producer)
        if len(self):
            raise ContractError(
                f"the codes have a contract (space {producer.space!r}), the {len(self)} codes of "
                "the index have none to compare it with; make the index with contract=..., or add "
                "without a contract"
            )
        return producer

    @contextmanager
    def _recording(
        self, fingerprints: Iterable[str], adopted: CodeContract | None = None
    ) -> Iterator[None]:
        """Name producers before their codes come in, so that no save lacks them.

        Only for who holds the lock of the writers: no other may add codes of the same producers
        meanwhile, whose names would go when this change fails.
        """
        before = self._producers
        contract = before.contract or adopted
        new = [f for f in fingerprints if f not in before.fingerprints] if contract else []
        if contract is before.contract and not new:
            yield
            return
        version = self._core.snapshot().version
        try:
            self._producers = Producers(contract, (*before.fingerprints, *new))
            yield
        except BaseException:
            # Ctrl-C may be heard when the codes are in already; their producers then stay named.
            if self._core.snapshot().version == version:
                self._producers = before
            raise

    def compact(self) -> None:
        """Give the memory of removed codes back; ids and answers stay the same."""
        self._core.compact()

    def reserve(self, count: int) -> None:
        """Take memory for ``count`` more codes now, so that they lie in one piece.

        Raises:
            UsageError: ``count`` < 0.
            MemoryError: There is not so much; the index goes on without.
        """
        self._core.reserve(at_least("count", count, 0))
