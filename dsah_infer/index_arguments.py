"""Checks of what callers hand to `HammingIndex`, each raising a named error."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.errors import ContractError, SpaceMismatchError, UsageError

__all__ = [
    "Options",
    "as_array",
    "at_least",
    "check_allow",
    "check_contract",
    "check_form",
    "check_producer",
    "check_space",
    "check_weights",
    "core_options",
    "flag",
    "in_c_order",
    "one_of",
    "to_ids",
]


_ROWS_AT_ONCE = 1 << 18


class Options(TypedDict):
    """Settings of the compiled index that are not stored in its file."""

    threads: int
    isa: str
    sublinear: bool


def core_options(threads: int | None, isa: str | None, sublinear: bool) -> Options:
    """0 threads and an empty ``isa`` let the core choose.

    Raises:
        UsageError: Threads out of range, ``isa`` of another type (the core knows the names), or
            ``sublinear`` neither true nor false.
    """
    count = 0 if threads is None else at_least("threads", threads, 1, 2**31 - 1)
    if isa is not None and not (isinstance(isa, str) and isa.isascii()):
        raise UsageError(
            f"isa = {isa!r:.80}, allowed: 'amx', 'avx512', 'avx2', 'popcnt', 'portable' or None"
        )
    return {"threads": count, "isa": isa or "", "sublinear": flag("sublinear", sublinear)}


def in_c_order(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The codes in one piece; copied in steps, between which Ctrl-C is heard."""
    if codes.flags.c_contiguous:
        return codes
    copy = np.empty(codes.shape, np.uint8)
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        copy[start : start + _ROWS_AT_ONCE] = codes[start : start + _ROWS_AT_ONCE]
    return copy


def at_least(name: str, value: int, least: int, most: int = 2**63 - 1) -> int:
    """The value as an int, if it is one from ``least`` to ``most`` (the core's are finite)."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} = {value!r}, expected an integer of at least {least}")
    if value > most:
        raise UsageError(f"{name} = {value!r}, expected an integer from {least} to {most}")
    return int(value)


def flag(name: str, value: bool) -> bool:
    """The value, if it is a boolean; text such as "no" would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} = {value!r:.80}, allowed: True or False")
    return bool(value)


def as_array(name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """The value as an array; rows of different lengths make none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name}: not an array ({error})") from None


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value, if it is one of those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise UsageError(f"{name} = {value!r}, allowed: {', '.join(map(repr, allowed))}")
    return value


def to_ids(ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Ids as int64 (n,); floats and numbers beyond int64 are refused, not rounded."""
    array = as_array("ids", ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim == 0:
        array = array[None]
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise UsageError(f"ids: got {array.dtype} {array.shape}, expected integers (n,)")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise UsageError("ids must be from 0 to 2**63 - 2")
    return np.ascontiguousarray(array, dtype=np.int64)


def check_allow(
    allow: npt.ArrayLike | None,
) -> npt.NDArray[np.int64] | npt.NDArray[np.bool_] | None:
    """What may be found: ids as int64 (n,), or a boolean mask (n,) indexed by id."""
    if allow is None:
        return None
    array = as_array("allow", allow)
    if array.dtype != np.bool_:
        return to_ids(array)
    if array.ndim != 1:
        raise UsageError(f"allow: got a mask of shape {array.shape}, expected (largest id + 1,)")
    return in_c_order(array.view(np.uint8)).view(np.bool_)


def check_weights(
    weights: npt.ArrayLike | None, count: int, bits: int, symbol_bits: int
) -> npt.NDArray[np.float32] | None:
    """Activations as float32 (count, bits), finite."""
    if weights is None:
        return None
    if symbol_bits != 1:
        raise UsageError("weights rank sign codes only; this index holds symbols")
    given = as_array("weights", weights)
    if given.dtype.kind not in "biuf":
        raise UsageError(f"weights: got {given.dtype}, expected real numbers ({count}, {bits})")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        array = given.astype(np.float32, copy=False)
    array = array[None] if array.ndim == 1 else array
    if array.shape != (count, bits) or not np.isfinite(array).all():
        raise UsageError(
            f"weights: got shape {array.shape}, expected finite values of shape ({count}, {bits})"
        )
    return array


def check_contract(contract: CodeContract | None) -> CodeContract | None:
    """The contract; UsageError if it is something else."""
    if contract is None or isinstance(contract, CodeContract):
        return contract
    raise UsageError(
        f"contract = {contract!r:.80}, expected a CodeContract (such as Encoder.contract) or None"
    )


def check_form(contract: CodeContract, bits: int, symbol_bits: int) -> None:
    """Refuse a contract whose codes an index cannot hold; raises ContractError."""
    if (contract.bits, contract.symbol_bits) != (bits, symbol_bits):
        raise ContractError(
            f"the contract has bits = {contract.bits}, symbol_bits = {contract.symbol_bits}; "
            f"the index has {bits} and {symbol_bits}"
        )


def check_space(contract: CodeContract) -> None:
    """Refuse a contract without a space: two such codes need have nothing in common."""
    if not contract.space:
        raise SpaceMismatchError(
            f"the contract of the codes (method {contract.method!r}) names no space, so nothing "
            "says which codes they are comparable with; name one: contract.replace(space=...)"
        )


def _comparable(contract: CodeContract) -> tuple[str, int, int, int]:
    return contract.space, contract.bits, contract.symbol_bits, contract.arity


def _described(contract: CodeContract) -> str:
    symbols = "" if contract.symbol_bits == 1 else f" in {contract.arity}-ary symbols"
    return f"space {contract.space!r} ({contract.bits} bits{symbols})"


def check_producer(
    producer: CodeContract | None,
    own: CodeContract | None,
    fingerprints: tuple[str, ...],
    *,
    other_fingerprint: str,
) -> None:
    """Refuse codes that are not comparable with those of an index.

    Raises:
        UsageError: The producer is no contract.
        SpaceMismatchError: Another space or none, or another artefact of it that was not asked
            for.
    """
    check_contract(producer)
    if producer is None or own is None:
        return
    if _comparable(producer) != _comparable(own):
        raise SpaceMismatchError(
            f"the codes are of {_described(producer)}, the index holds {_described(own)}; encode "
            "with the model of the index"
        )
    check_space(producer)
    if other_fingerprint == "refuse" and producer.fingerprint not in fingerprints:
        raise SpaceMismatchError(
            f"the codes come from {producer.fingerprint!r}, another artefact of the same space as "
            f"{', '.join(fingerprints)}; to mix them pass other_fingerprint='accept' "
            "(dsah: --mix)"
        )
