"""What a file of this project holds, recognised by content."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from dsah_infer.contract import CHECKPOINT_RECORD, CodeContract
from dsah_infer.errors import CheckpointError, ContractError, DataError
from dsah_infer.gallery import Gallery
from dsah_infer.index import HammingIndex
from dsah_infer.onnx_file import looks_like_onnx, read_model
from dsah_infer.tensorrt_session import read_sidecar

__all__ = ["describe"]

_ZIP = b"PK\x03\x04"


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts about a model, engine, gallery, index or checkpoint; ``kind`` says which it is.

    Raises:
        DataError: Missing, or none of these.
        DsahError: The file's own error, if it is damaged or of a newer version.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from None
    if file.suffix == ".plan":
        facts = read_sidecar(file)
        contract = facts.pop("contract")
        return {"kind": "TensorRT plan (unverified here)", **facts, **_terms(contract)}
    if head.startswith(_ZIP):
        return _checkpoint(file)
    if looks_like_onnx(head):
        model = read_model(file)
        return {"kind": "model", "bytes": len(model.data), **_terms(model.contract)}
    return _index(file)


def _terms(contract: CodeContract) -> dict[str, Any]:
    return dataclasses.asdict(contract)


def _checkpoint(file: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [n for n in archive.namelist() if n.endswith(f"/{CHECKPOINT_RECORD}")]
            text = archive.read(names[0]) if names else b""
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{file}: a damaged checkpoint or another zip ({error})") from None
    if not text:
        raise CheckpointError(
            f"{file}: a zip, but no dsah checkpoint (made by python -m dsah_train fit)"
        )
    try:
        terms = CodeContract.from_json(text)
    except ContractError as error:
        raise CheckpointError(f"{file}: {error}") from None
    return {"kind": "checkpoint", "bytes": file.stat().st_size, **_terms(terms)}


def _index(file: Path) -> dict[str, Any]:
    index = HammingIndex.load(file)
    facts: dict[str, Any] = {
        "kind": "index",
        "bytes": file.stat().st_size,
        "codes": len(index),
        "bits": index.bits,
        "symbol_bits": index.symbol_bits,
    }
    if {"items", "model"} <= set(index.sections):
        gallery = Gallery.load(file)
        facts |= {"kind": "gallery", "pictures": len(gallery.items)}
        facts |= {f"model_{name}": value for name, value in vars(gallery.model).items()}
        if set(index.fingerprints) != {gallery.model.fingerprint}:
            facts["codes_also_from"] = sorted(set(index.fingerprints) - {gallery.model.fingerprint})
    return facts
