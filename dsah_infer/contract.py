"""The rules that training, export, runtime and ranker share, and the record that carries them.

One home for each rule:

pixels
    A model sees uint8 RGB, shape (N, S, S, 3). A picture becomes S x S by the rule of
    ``preprocess.py``, whose parameters are `PixelRule`. Normalisation is inside the graph.
bit
    bit = (activation >= 0). Zero counts as 1, everywhere.
symbol
    Ordinal codes store, for each segment, the index of its largest activation; the lowest
    index wins a tie. A symbol of arity K takes ``symbol_bits`` bits (1, 2, 4, 4 for K = 2, 4,
    8, 16), most significant bit first.
packing
    Most significant bit first, as ``numpy.packbits``; spare bits of the last byte are zero.
distance
    Number of differing symbols (of differing bits when ``symbol_bits`` is 1).
order
    Ascending (distance, id), ids ascending among equals. Missing results are padded with
    `PAD_ID` and `PAD_DISTANCE`.
space
    Two artefacts with equal ``space`` produce comparable codes (a model and its student, or a
    lower precision of it); without one, nothing is comparable. ``fingerprint`` names one artefact
    exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dsah_infer.errors import CodeError, ContractError

__all__ = [
    "CHECKPOINT_RECORD",
    "CONTRACT_VERSION",
    "MAX_BITS",
    "METADATA_KEY",
    "PAD_DISTANCE",
    "PAD_ID",
    "STORED_SYMBOL_BITS",
    "CodeContract",
    "PixelRule",
    "check_codes",
    "check_symbols",
    "code_bytes",
    "pack_bits",
    "pack_symbols",
    "unpack_bits",
]

CONTRACT_VERSION = 1
METADATA_KEY = "dsah.contract"
#: Record of a checkpoint's zip that holds the contract, for readers without torch.
CHECKPOINT_RECORD = "dsah.contract.json"
PAD_ID = -1
PAD_DISTANCE = 2**31 - 1
MAX_BITS = 4096
#: Stored bits of one symbol, by arity. Eight-ary symbols are stored in 4 bits so that the
#: ranker needs no 3-bit lanes; the contract's ``info_bits`` still says what they carry.
STORED_SYMBOL_BITS = {2: 1, 4: 2, 8: 4, 16: 4}

_BYTES_AT_ONCE = 1 << 22  # between which Ctrl-C is heard

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def code_bytes(bits: int) -> int:
    """Bytes of one packed code of ``bits`` stored bits."""
    return (bits + 7) // 8


def pack_bits(bits: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Pack 0/1 values (n, bits) into codes uint8 (n, ceil(bits / 8)), zero padded."""
    return np.packbits(np.asarray(bits, dtype=np.uint8), axis=-1)


def unpack_bits(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Inverse of `pack_bits`: codes (n, bytes) to 0/1 values uint8 (n, bits)."""
    return np.unpackbits(codes, axis=-1, count=bits)


def pack_symbols(
    symbols: npt.ArrayLike, symbol_bits: int, *, arity: int | None = None
) -> npt.NDArray[np.uint8]:
    """Pack symbol indices into codes uint8 (n, bytes).

    Args:
        symbols: Integers (n, segments), each from 0 to ``arity`` - 1.
        symbol_bits: Bits of one symbol: 1, 2, 4 or 8.
        arity: Values of one symbol; None takes 2**symbol_bits.

    Raises:
        CodeError: A symbol is out of range or no integer.
    """
    values, most = np.asarray(symbols), (arity or 1 << symbol_bits) - 1
    if values.size == 0:
        values = values.astype(np.uint8)
    if values.dtype.kind not in "biu" or not (values <= most).all() or not (values >= 0).all():
        raise CodeError(f"symbols: got {_range(values)}, expected integers from 0 to {most}")
    shifts = np.arange(symbol_bits - 1, -1, -1, dtype=np.uint8)
    spread = (values.astype(np.uint8)[..., None] >> shifts) & 1
    return pack_bits(spread.reshape(*values.shape[:-1], values.shape[-1] * symbol_bits))


def _range(values: npt.NDArray[np.generic]) -> str:
    whole = values.dtype.kind in "biu"
    return f"{values.min()} to {values.max()}" if whole else f"{values.dtype}"


def check_codes(codes: object, bits: int, *, what: str = "codes") -> npt.NDArray[np.uint8]:
    """Return ``codes`` as a uint8 array (n, ceil(bits / 8)); one code (bytes,) becomes (1, bytes).

    Raises:
        CodeError: Not a numpy array, not uint8, wrong width, or non-zero padding bits.
    """
    width = code_bytes(bits)
    if not isinstance(codes, np.ndarray) or codes.dtype != np.uint8:
        given = f"{codes.dtype} array" if isinstance(codes, np.ndarray) else type(codes).__name__
        raise CodeError(
            f"{what}: got {given}, expected a packed uint8 array of shape (n, {width}); "
            "floats or 0/1 values are packed with dsah_infer.contract.pack_bits"
        )
    array = codes[None] if codes.ndim == 1 else codes
    if array.ndim != 2 or array.shape[1] != width:
        raise CodeError(
            f"{what}: got shape {codes.shape}, expected (n, {width}) for {bits}-bit codes"
        )
    spare = width * 8 - bits
    if spare and len(array) and int(np.bitwise_or.reduce(array[:, -1])) & ((1 << spare) - 1):
        raise CodeError(
            f"{what}: the last {spare} bits of each code are padding and must be zero "
            f"({bits}-bit codes, most significant bit first)"
        )
    return array


def check_symbols(codes: npt.NDArray[np.uint8], symbol_bits: int, arity: int) -> None:
    """Refuse packed codes (n, bytes) with symbols that their bits can hold and their arity cannot.

    Raises:
        CodeError: A symbol is ``arity`` or more.
    """
    if arity == 1 << symbol_bits:
        return
    byte, mask = np.arange(256), (1 << symbol_bits) - 1
    symbols = [byte >> shift & mask for shift in range(0, 8, symbol_bits)]
    impossible = np.max(symbols, axis=0) >= arity
    step = max(1, _BYTES_AT_ONCE // codes.shape[1])
    for start in range(0, len(codes), step):
        bad = np.flatnonzero(impossible[codes[start : start + step]].any(axis=1))
        if len(bad):
            raise CodeError(
                f"codes: row {start + bad[0]} has a symbol of {arity} or more; the contract's are "
                f"from 0 to {arity - 1}, in {symbol_bits} bits each"
            )


@dataclass(frozen=True)
class PixelRule:
    """How a picture becomes the uint8 RGB square (S, S, 3) that a model sees.

    Attributes:
        size: S, side in pixels.
        crop: Side of the centre square as a fraction of the shorter side, in (0, 1].
        filter: Name of the Pillow filter of the one resize.
        version: Version of the written rule in ``preprocess.py``.
        mean: Per-channel mean of the normalisation inside the graph, on pixels in [0, 1].
        std: Per-channel standard deviation of it.
    """

    size: int = 224
    crop: float = 0.875
    filter: str = "bilinear"
    version: int = 1
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class CodeContract:
    """What a consumer must know about codes; travels in checkpoint, ONNX file and gallery.

    Attributes:
        method: Name of the method (``dsah``, ``doh``, ...).
        bits: Stored bits of one code, 1 to 4096.
        symbol_bits: Bits of one symbol; 1 for sign codes.
        arity: Values of one symbol (2 for sign codes, K for ordinal codes).
        info_bits: Bits of information, at most ``bits``; 0 takes what symbols of that arity hold:
            ``bits``, and 3 of each 4 for 8-ary symbols.
        activations: Width A of the ``activations`` output; 0 takes ``bits`` for sign codes,
            segments times K for ordinal codes.
        has_saliency: Whether the graph has a ``saliency`` output.
        pixels: The pixel rule.
        class_names: Names of the training classes, by class index.
        metrics: Training metrics, by name.
        precision: ``fp32``, ``fp16`` or ``int8``.
        space: Name of the code space; equal spaces are comparable, empty ones are not.
        fingerprint: Hash of weights, pixel rule and contract: this very artefact.
        version: Format version of this record.
    """

    method: str
    bits: int
    symbol_bits: int = 1
    arity: int = 2
    info_bits: int = 0
    activations: int = 0
    has_saliency: bool = False
    pixels: PixelRule = field(default_factory=PixelRule)
    class_names: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    precision: str = "fp32"
    space: str = ""
    fingerprint: str = ""
    version: int = CONTRACT_VERSION
    #: Written for readers of the file; the code knows no other order.
    bit_order: str = "most-significant-first"
    padding: str = "zero"

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ContractError(f"bits = {self.bits}, allowed: 1 to {MAX_BITS}")
        if self.symbol_bits not in (1, 2, 4, 8) or self.bits % self.symbol_bits:
            raise ContractError(
                f"symbol_bits = {self.symbol_bits} with bits = {self.bits}; allowed: 1, 2, 4 or 8, "
                "and bits a multiple of it"
            )
        if not 2 <= self.arity <= 1 << self.symbol_bits:
            raise ContractError(
                f"arity = {self.arity} with symbol_bits = {self.symbol_bits}; a symbol of that "
                f"many bits has 2 to {1 << self.symbol_bits} values"
            )
        if self.bit_order != "most-significant-first" or self.padding != "zero":
            raise ContractError(
                f"bit order {self.bit_order!r} with padding {self.padding!r} is not known; this "
                "version reads most-significant-first, zero padded"
            )
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if not self.info_bits:
            object.__setattr__(self, "info_bits", int(self.segments * math.log2(self.arity)))
        if not 1 <= self.info_bits <= self.bits:
            raise ContractError(f"info_bits = {self.info_bits}, allowed: 1 to bits = {self.bits}")
        if not self.activations:
            width = self.bits if self.arity == 2 else self.segments * self.arity
            object.__setattr__(self, "activations", width)
        if self.activations < 1:
            raise ContractError(f"activations = {self.activations}, allowed: 1 or more")

    @property
    def segments(self) -> int:
        """Number of symbols in one code; also the largest possible distance."""
        return self.bits // self.symbol_bits

    @property
    def code_bytes(self) -> int:
        """Bytes of one packed code."""
        return code_bytes(self.bits)

    def replace(self, **changes: Any) -> CodeContract:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def with_fingerprint(self, *artefact: bytes) -> CodeContract:
        """A copy whose ``fingerprint`` hashes the given bytes (weights) and this record."""
        digest = hashlib.sha256(self.replace(fingerprint="").to_json().encode())
        for part in artefact:
            digest.update(part)
        return self.replace(fingerprint=digest.hexdigest()[:32])

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> CodeContract:
        """Read a record written by `to_json`.

        Raises:
            ContractError: Not such a record, of a newer version, or with impossible values.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"the code contract is not JSON ({error})") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("version"), int):
            raise ContractError("the code contract has no format version")
        if fields["version"] > CONTRACT_VERSION:
            raise ContractError(
                f"the code contract has format version {fields['version']}, this dsah reads up to "
                f"{CONTRACT_VERSION}; upgrade dsah"
            )
        try:
            return cls(**_typed(cls, fields))
        except OverflowError as error:  # JSON knows integers that no float can hold
            raise ContractError(f"the code contract has an impossible number ({error})") from None


def _typed(cls: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Check names and types of decoded JSON against a dataclass, one level of nesting deep."""
    known = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - set(known))
    missing = sorted(
        name
        for name, f in known.items()
        if name not in fields
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    )
    if unknown or missing:
        raise ContractError(f"the code contract has unknown fields {unknown}, lacks {missing}")
    values = dict(fields)
    for name, value in fields.items():
        kind = str(known[name].type)
        values[name] = _convert(name, kind, value)
    return values


def _convert(name: str, kind: str, value: Any) -> Any:
    if kind == "PixelRule" and isinstance(value, dict):
        return PixelRule(**_typed(PixelRule, value))
    if kind == "tuple[str, ...]" and isinstance(value, list):
        if all(isinstance(v, str) for v in value):
            return tuple(value)
    elif kind.startswith("tuple[float") and isinstance(value, list):
        if len(value) == 3 and all(isinstance(v, int | float) for v in value):
            return cast("tuple[float, float, float]", tuple(float(v) for v in value))
    elif kind.startswith("Mapping") and isinstance(value, dict):
        if all(isinstance(v, int | float) for v in value.values()):
            return {str(k): float(v) for k, v in value.items()}
    elif kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value).__name__ == kind:
        return value
    raise ContractError(f"the code contract's {name} = {value!r} is not a {kind}")
