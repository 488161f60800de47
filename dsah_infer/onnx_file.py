"""Reads the code contract of an ONNX file, seals and checks it, without the onnx package.

An ONNX file is one Protocol Buffers message. Its top-level fields are walked here; weights are
skipped, not copied. The contract's ``fingerprint`` is the SHA-256 of the contract (with an empty
fingerprint) and of every top-level field but the contract's own metadata entry, in file order,
so one changed byte of a weight, of the graph or of the contract is noticed before inference.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsah_infer.contract import METADATA_KEY, STORED_SYMBOL_BITS, CodeContract
from dsah_infer.errors import ContractError, ModelFileError
from dsah_infer.preprocess import check_rule

__all__ = ["ModelFile", "looks_like_onnx", "read_model", "seal"]

_MAX_DEPTH = 32
#: Of one Protocol Buffers message.
_MAX_BYTES = 2**31 - 1
_METADATA = 14
#: Where tensors hide: message -> {field number: message inside}.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


@dataclass(frozen=True)
class ModelFile:
    """A checked file: its bytes, and the contract that they carry."""

    data: bytes
    contract: CodeContract


def looks_like_onnx(head: bytes) -> bool:
    """Whether a file beginning with ``head`` may be ONNX: the IR version, field 1, comes first."""
    return len(head) > 2 and head[0] == 0x08 and head[1] < 0x80


def seal(model: bytes, contract: CodeContract) -> bytes:
    """A serialised ONNX model with ``contract`` in its metadata, fingerprint filled in.

    Args:
        model: Serialised ModelProto; a contract it already carries is replaced.
        contract: The contract to write; its ``fingerprint`` is computed here.
    """
    body = _without_contract(model)
    sealed = contract.with_fingerprint(body)
    entry = _field(1, METADATA_KEY.encode()) + _field(2, sealed.to_json().encode())
    return body + _field(_METADATA, entry)


def read_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read and check an exported model.

    Raises:
        ModelFileError: Missing, no regular file, too large, not ONNX, without a contract, with
            weights in other files, or not the bytes that its fingerprint names.
        ContractError: The contract is malformed, of a newer format version, or asks for a pixel
            rule that is not known.
    """
    source = Path(path)
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would hang, a device never end
            raise ModelFileError(f"{source}: not a regular file; give a file of export/to_onnx.py")
        if status.st_size > _MAX_BYTES:
            raise ModelFileError(
                f"{source}: {status.st_size:,} bytes; one ONNX file holds at most {_MAX_BYTES:,}"
            )
        data = source.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{source}: {error.strerror or error}") from None
    try:
        contract = _checked(data)
    except (ModelFileError, ContractError) as error:
        raise type(error)(f"{source}: {error}") from None
    return ModelFile(data, contract)


def _checked(data: bytes) -> CodeContract:
    if not looks_like_onnx(data[:4]):
        raise ModelFileError("not an ONNX file; export one with export/to_onnx.py")
    entries = [text for _, _, text in _contract_entries(data)]
    if len(entries) != 1:
        raise ModelFileError(
            f"an ONNX file with {len(entries)} entries {METADATA_KEY!r} in its metadata, expected "
            "one; export the model with export/to_onnx.py"
        )
    contract = CodeContract.from_json(entries[0])
    check_rule(contract.pixels)
    _check_symbols(contract)
    _refuse_external(memoryview(data), "model", 0)
    found = contract.with_fingerprint(_without_contract(data)).fingerprint
    if found != contract.fingerprint:
        raise ModelFileError(
            f"changed after its export: its bytes have fingerprint {found}, its contract says "
            f"{contract.fingerprint or 'none'}; export it again with export/to_onnx.py"
        )
    return contract


def _check_symbols(contract: CodeContract) -> None:
    """K activations for each ordinal symbol, one for each sign."""
    if STORED_SYMBOL_BITS.get(contract.arity) != contract.symbol_bits:
        raise ModelFileError(
            f"its contract contradicts itself: symbols of arity {contract.arity} in "
            f"{contract.symbol_bits} bits; allowed: {STORED_SYMBOL_BITS} (arity: bits)"
        )
    allowed = [contract.segments * contract.arity]
    if contract.symbol_bits == 1:
        allowed.insert(0, contract.segments)
    if contract.activations not in allowed:
        raise ModelFileError(
            f"its contract contradicts itself: {contract.activations} activations for "
            f"{contract.segments} symbols of arity {contract.arity}, expected "
            f"{' or '.join(map(str, allowed))}"
        )


def _without_contract(data: bytes) -> bytes:
    kept, at = [], 0
    for start, end, _ in _contract_entries(data):
        kept.append(data[at:start])
        at = end
    return b"".join([*kept, data[at:]]) if kept else data


def _contract_entries(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, value) of each metadata entry that is a contract."""
    for number, start, end, content in _fields(memoryview(data)):
        if number == _METADATA and content is not None:
            entry = {inner: bytes(value or b"") for inner, _, _, value in _fields(content)}
            if entry.get(1) == METADATA_KEY.encode():
                yield start, end, entry.get(2, b"")


def _refuse_external(message: memoryview, kind: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ModelFileError(f"graphs nested more than {_MAX_DEPTH} deep")
    for number, start, end, content in _fields(message):
        if kind == "tensor" and (
            number == _EXTERNAL_DATA
            or (number == _DATA_LOCATION and bytes(message[start + 1 : end]) != b"\0")
        ):
            raise ModelFileError(
                "its weights refer to other files, which could be any file of this machine; "
                "export one self-contained file with export/to_onnx.py"
            )
        inside = _INSIDE[kind].get(number)
        if inside is not None and content is not None:
            _refuse_external(content, inside, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int, int, memoryview | None]]:
    """(number, start, end, content) of each field; content is None for numbers."""
    at, size = 0, len(message)
    while at < size:
        start = at
        tag, at = _varint(message, at)
        wire, content = tag & 7, None
        if wire == 0:
            _, at = _varint(message, at)
        elif wire == 2:
            length, at = _varint(message, at)
            content = message[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            at = size + 1
        if at > size or tag >> 3 == 0:
            raise ModelFileError("damaged or not an ONNX file (no Protocol Buffers message)")
        yield tag >> 3, start, at, content


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelFileError("damaged or not an ONNX file (truncated)")


def _field(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
