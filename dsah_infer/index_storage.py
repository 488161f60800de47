"""Saving, loading and pickling of `HammingIndex`. The file itself is written by the core."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import dsah_infer._core as _core
from dsah_infer.contract import CodeContract
from dsah_infer.errors import ContractError, IndexFileError, UsageError
from dsah_infer.fork_lock import ForkSafeLock
from dsah_infer.index_arguments import Options
from dsah_infer.index_state import Producers

if TYPE_CHECKING:
    from dsah_infer.index import HammingIndex

__all__ = ["by_rising_id", "load", "reduce", "save"]

#: Sections that the index itself keeps; all others are the caller's.
_CONTRACT, _FINGERPRINTS = "contract", "fingerprints"


def save(index: HammingIndex, path: str | os.PathLike[str]) -> None:
    """Write codes, ids, contract and the caller's sections."""
    # First the codes: writers name producers before they add their codes, so the names that are
    # read next cover all codes of the snapshot. The other way round, codes of a producer that is
    # not yet named could come in between.
    snapshot = index._core.snapshot()
    contract, fingerprints = index._producers
    sections = dict(index.sections)
    taken = sorted({_CONTRACT, _FINGERPRINTS} & set(sections))
    if taken:
        raise UsageError(f"section names {taken} belong to the index itself; choose others")
    for name, content in sections.items():
        if not isinstance(name, str) or not isinstance(content, bytes):
            raise UsageError(
                f"section {name!r} is {type(content).__name__}; sections are bytes by their names"
            )
    if contract:
        sections[_CONTRACT] = contract.to_json().encode()
        sections[_FINGERPRINTS] = json.dumps(fingerprints).encode()
    _core.save(snapshot, _name_of(path), sections)


def load(
    cls: type[HammingIndex], path: str, mapped: bool, eager: bool, options: Options
) -> HammingIndex:
    """Read what `save` wrote."""
    name = _name_of(path)
    stamp = _stamp(path) if mapped else b""  # first: a change meanwhile is seen by `reduce`
    try:
        core, bits, symbol_bits, sections = _core.load(name, mapped, eager, **options)
    except UnicodeDecodeError:
        raise IndexFileError(f"{path} is damaged: a section has a name that is not UTF-8") from None
    try:
        record = sections.pop(_CONTRACT, None)
        contract = None if record is None else CodeContract.from_json(record)
        fingerprints = json.loads(sections.pop(_FINGERPRINTS, b"[]"))
    except (ContractError, ValueError, RecursionError) as error:
        raise IndexFileError(f"{path}: {error}") from None
    if not isinstance(fingerprints, list) or not all(isinstance(f, str) for f in fingerprints):
        raise IndexFileError(f"{path}: its list of fingerprints is not a list of names")
    if contract and (contract.bits, contract.symbol_bits) != (bits, symbol_bits):
        raise IndexFileError(f"{path}: its contract is of {contract.bits} bits, its codes {bits}")
    index = cls.__new__(cls)
    index.bits, index.symbol_bits, index._core, index._options = bits, symbol_bits, core, options
    index._producers, index.sections = Producers(contract, tuple(fingerprints)), sections
    index._writers = ForkSafeLock()
    where = str(Path(path).resolve())
    index._mapped_from = (where, stamp, index._producers, dict(sections)) if mapped else None
    return index


def _stamp(path: str) -> bytes:
    """Tells contents apart: the header's checksum, which covers the checksums of all sections."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            file.seek(64)
            return file.read(8)
    except OSError:
        return b""


def _without_waiting(path: str, flags: int) -> int:
    """Opens a pipe at once, which the core then refuses, instead of waiting for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _name_of(path: str | os.PathLike[str]) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name:  # C would read another name, up to there
        raise UsageError(f"path {path!r} contains a zero byte; no file can have that name")
    return name


def reduce(index: HammingIndex) -> tuple[Any, ...]:
    """Pickle a mapped, unchanged index by its path, any other by the bytes of its file.

    By its bytes too if its file was replaced since: the path would lead to another content.
    """
    if index._mapped_from and index._core.unchanged:
        path_then, stamp, producers, sections = index._mapped_from
        as_then = (producers, sections) == (index._producers, index.sections)
        if as_then and _stamp(path_then) == stamp:
            return _open_mapped, (type(index), path_then, index._options, stamp)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        save(index, path)
        return _from_bytes, (type(index), path.read_bytes(), index._options)


def _open_mapped(
    cls: type[HammingIndex], path: str, options: Options, stamp: bytes
) -> HammingIndex:
    index = _load_anywhere(cls, path, True, options)
    if _stamp(path) != stamp:
        raise IndexFileError(f"{path} was replaced since the index that it held was pickled")
    return index


def _from_bytes(cls: type[HammingIndex], content: bytes, options: Options) -> HammingIndex:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        path.write_bytes(content)
        return _load_anywhere(cls, str(path), False, options)


def _load_anywhere(
    cls: type[HammingIndex], path: str, mapped: bool, wanted: Options
) -> HammingIndex:
    """Load with what a pickle asks for, on a machine that may lack its instruction set.

    The machine's own choice then takes its place, with the same answers; what was asked for stays
    in pickles to come, which may reach a machine that has it.
    """
    here = wanted
    if wanted["isa"] not in _core.available_isas():
        here = {**wanted, "isa": ""}
    index = load(cls, path, mapped, not mapped, here)
    index._options = wanted
    return index


def by_rising_id(
    core: _core.Index, snapshot: _core.Snapshot, size: int
) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """All codes of a snapshot in chunks, ids ascending over the whole."""
    if snapshot.ascending:
        row = 0
        while True:
            codes, ids, row = core.rows_from(snapshot, row, size)
            if not len(ids):
                return
            yield codes, ids
    rows = snapshot.rows_by_id()
    for start in range(0, len(rows), size):
        yield snapshot.take(rows[start : start + size])
