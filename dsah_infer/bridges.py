"""To and from other homes of binary codes: NumPy files, FAISS and PostgreSQL.

All three keep the most significant bit first, as this project does, so bytes pass unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dsah_infer.atomic_file import replacing
from dsah_infer.contract import check_codes, code_bytes, pack_bits, unpack_bits
from dsah_infer.errors import CodeError, MissingDependencyError, UsageError
from dsah_infer.index import HammingIndex

if TYPE_CHECKING:
    from dsah_infer.contract import CodeContract

__all__ = ["from_faiss", "from_npy", "from_pgvector", "to_faiss", "to_npy", "to_pgvector"]

Codes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]


def _all(index: HammingIndex) -> tuple[Codes, Ids]:
    parts = list(index.chunks())
    if not parts:
        return np.zeros((0, code_bytes(index.bits)), np.uint8), np.zeros(0, np.int64)
    codes, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    return codes, ids


def to_npy(index: HammingIndex, path: str | os.PathLike[str]) -> Ids:
    """Write the codes uint8 (n, bytes) as a ``.npy`` file; returns their ids in file order.

    Raises:
        OSError: The file cannot be written.
    """
    codes, ids = _all(index)
    with replacing(path) as file:
        np.save(file, codes)
    return ids


def from_npy(
    path: str | os.PathLike[str],
    bits: int,
    *,
    symbol_bits: int = 1,
    ids: npt.ArrayLike | None = None,
    contract: CodeContract | None = None,
) -> HammingIndex:
    """An index of the codes in a ``.npy`` file, which is read without copying it first.

    Raises:
        CodeError: The file is no ``.npy`` array of packed ``bits``-bit codes.
    """
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CodeError(f"{os.fspath(path)}: {error}") from None
    index = HammingIndex(bits, symbol_bits=symbol_bits, contract=contract)
    index.add(check_codes(np.asarray(codes), bits, what=os.fspath(path)), ids)
    return index


def to_faiss(index: HammingIndex) -> tuple[Any, Ids]:
    """A ``faiss.IndexBinaryFlat`` of the codes, and the id of each of its rows.

    FAISS wants whole bytes, so codes are widened with their zero padding; distances stay.

    Raises:
        MissingDependencyError: faiss is not installed.
        UsageError: The index holds symbols, whose distance FAISS does not know.
    """
    try:
        import faiss
    except ImportError:
        raise MissingDependencyError("this bridge needs FAISS: pip install faiss-cpu") from None
    if index.symbol_bits != 1:
        raise UsageError("FAISS counts differing bits; this index counts symbols")
    codes, ids = _all(index)
    flat = faiss.IndexBinaryFlat(8 * codes.shape[1])
    flat.add(codes)
    return flat, ids


def from_faiss(
    flat: Any,
    bits: int | None = None,
    *,
    ids: npt.ArrayLike | None = None,
    contract: CodeContract | None = None,
) -> HammingIndex:
    """An index of the codes of a ``faiss.IndexBinaryFlat``.

    Args:
        flat: The FAISS index.
        bits: Bits that are used, if fewer than FAISS's multiple of 8.
        ids: One id per row, as `to_faiss` returns them; None takes the row numbers.
        contract: Record of the codes' producer.

    Raises:
        UsageError: It is another kind of index.
        CodeError: Its codes have other than ``bits`` bits.
    """
    if not all(hasattr(flat, name) for name in ("xb", "ntotal", "d")):
        raise UsageError(
            f"got {type(flat).__name__}, expected a faiss.IndexBinaryFlat; other kinds can be "
            "reconstructed into one first"
        )
    import faiss

    codes = faiss.vector_to_array(flat.xb).reshape(flat.ntotal, flat.d // 8)
    index = HammingIndex(flat.d if bits is None else bits, contract=contract)
    index.add(codes, ids)
    return index


def to_pgvector(codes: Codes, bits: int) -> list[str]:
    """Codes as the text of PostgreSQL ``bit(n)`` values, such as ``'0110'``."""
    rows = unpack_bits(check_codes(codes, bits), bits) + ord("0")
    return [row.tobytes().decode() for row in rows]


def from_pgvector(texts: Iterable[str], bits: int) -> Codes:
    """Packed codes uint8 (n, bytes) from the text of PostgreSQL ``bit(n)`` values.

    Raises:
        CodeError: A text is not ``bits`` characters of 0 and 1.
    """
    rows = []
    for place, text in enumerate(texts):
        if not isinstance(text, str) or len(text) != bits or set(text) - {"0", "1"}:
            raise CodeError(f"value {place} = {str(text)[:40]!r} is not a bit({bits}) text")
        rows.append(np.frombuffer(text.encode(), np.uint8) - ord("0"))
    return pack_bits(np.array(rows, np.uint8).reshape(len(rows), bits))
