"""A trained checkpoint and an exported graph behind one face: parts of a data set in, codes out.

Evaluation sees only this face, so both are measured by the same code.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.encoder import Encoder
from dsah_train import require_torch
from dsah_train.data import Part, decode_part

if TYPE_CHECKING:
    from dsah_train.config import Config

__all__ = [
    "Artefact",
    "CheckpointArtefact",
    "EncodedPart",
    "GraphArtefact",
    "OnError",
    "open_artefact",
]

OnError = Literal["raise", "skip"]

# Decoded pictures in memory at a time: 59,000 pictures of 224 px would take 9 GB at once.
BYTES_PER_STEP = 256 * 2**20


@dataclass(frozen=True)
class EncodedPart:
    """Codes of the readable pictures of a part.

    Attributes:
        part: The readable pictures, in order (n).
        codes: Packed codes, uint8 (n, ceil(bits / 8)).
        activations: float32 (n, A), or None where they were not asked for.
        skipped: Names of pictures that could not be read.
    """

    part: Part
    codes: npt.NDArray[np.uint8]
    activations: npt.NDArray[np.float32] | None
    skipped: tuple[str, ...] = ()


class Artefact(Protocol):
    """What turns pictures into codes.

    Attributes:
        path: The file.
        contract: What its codes mean.
        config: Settings of the training run; None for an exported graph.
        trained_on: `name_digest` of each training picture; None where the file keeps none.
        start_weights: What the backbone started from, see `Checkpoint`; empty where unknown.
    """

    path: Path
    contract: CodeContract
    config: Config | None
    trained_on: frozenset[bytes] | None
    start_weights: str

    def encode(
        self, part: Part, *, activations: bool = True, on_error: OnError = "raise"
    ) -> EncodedPart:
        """Encode a part; `PictureError` names an unreadable picture, or it is skipped."""

    def saliency(self, part: Part) -> npt.NDArray[np.float32] | None:
        """Saliency maps float32 (n, S, S) in [0, 1], or None for a method without attention."""


def checkpoint_path(path: Path) -> Path:
    """The checkpoint of a run folder; any other path as it is."""
    return path / "ckpt.pt" if path.is_dir() else path


def open_artefact(path: str | os.PathLike[str], *, batch_size: int = 64) -> Artefact:
    """Open a checkpoint, or an exported graph (``.onnx``).

    Raises:
        CheckpointError: Not a checkpoint of this project.
        ModelFileError: Not an exported graph of this project.
    """
    if Path(path).suffix == ".onnx":
        return GraphArtefact(path)
    return CheckpointArtefact(path, batch_size=batch_size)


class CheckpointArtefact:
    """The torch model of a checkpoint, on the GPU where there is one."""

    def __init__(self, path: str | os.PathLike[str], *, batch_size: int = 64) -> None:
        require_torch()
        import torch

        from dsah_train.checkpoint import load_checkpoint

        self.path = Path(path)
        checkpoint = load_checkpoint(self.path)
        self.contract: CodeContract = checkpoint.contract
        self.config: Config | None = checkpoint.config
        self.trained_on = checkpoint.trained_on
        self.start_weights = checkpoint.start_weights
        self._model = checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._batch_size = batch_size

    def encode(
        self, part: Part, *, activations: bool = True, on_error: OnError = "raise"
    ) -> EncodedPart:
        """See `Artefact.encode`."""
        from dsah_train.encode import encode

        codes, values, kept = [], [], []
        for indices in _steps(part, self.contract):
            pixels, readable = _decode(part.subset(indices), self.contract, on_error)
            result = encode(self._model, pixels, self.contract, batch_size=self._batch_size)
            codes.append(result.codes)
            values.append(result.activations)
            kept.append(indices[readable])
        return _encoded(
            part,
            np.concatenate(kept),
            np.concatenate(codes),
            np.concatenate(values) if activations else None,
        )

    def saliency(self, part: Part) -> npt.NDArray[np.float32] | None:
        """See `Artefact.saliency`."""
        from dsah_train.encode import encode

        if not self.contract.has_saliency:
            return None
        maps = []
        for indices in _steps(part, self.contract):
            pixels, _ = _decode(part.subset(indices), self.contract, "raise")
            result = encode(
                self._model, pixels, self.contract, batch_size=self._batch_size, saliency=True
            )
            assert result.saliency is not None  # the contract promised it
            maps.append(result.saliency)
        return np.concatenate(maps)


class GraphArtefact:
    """An exported graph, run by `dsah_infer.Encoder` as in production."""

    config: Config | None = None
    trained_on: frozenset[bytes] | None = None
    start_weights: str = ""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._encoder = Encoder(path)
        self.contract: CodeContract = self._encoder.contract

    def encode(
        self, part: Part, *, activations: bool = True, on_error: OnError = "raise"
    ) -> EncodedPart:
        """See `Artefact.encode`."""
        # Decoded once here only to name what is unreadable: the encoder decodes for itself, and
        # would know pictures by position alone.
        kept = np.concatenate(
            [
                indices[_decode(part.subset(indices), self.contract, on_error)[1]]
                for indices in _steps(part, self.contract)
            ]
        )
        files = _Files(part.subset(kept))
        codes = self._encoder.encode(files, progress=True)
        values = self._encoder.activations(files, progress=True) if activations else None
        return _encoded(part, kept, codes, values)

    def saliency(self, part: Part) -> npt.NDArray[np.float32] | None:
        """See `Artefact.saliency`."""
        if not self.contract.has_saliency:
            return None
        return np.stack([self._encoder.saliency(file) for file in _Files(part)])


class _Files:
    """The encoded pictures of a part as a sized iterable, read when asked for."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __len__(self) -> int:
        return len(self._part)

    def __iter__(self) -> Iterator[bytes]:
        return (self._part.read(i) for i in range(len(self._part)))


def _steps(part: Part, contract: CodeContract) -> list[npt.NDArray[np.int64]]:
    """Indices of the part in runs of about equal length whose pictures fit in memory."""
    size = 3 * contract.pixels.size**2
    steps = -(-len(part) * size // BYTES_PER_STEP)
    return np.array_split(np.arange(len(part)), max(steps, 1))


def _decode(
    part: Part, contract: CodeContract, on_error: OnError
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    if on_error == "skip":
        return decode_part(part, contract.pixels, on_error="skip")
    return decode_part(part, contract.pixels), np.arange(len(part))


def _encoded(
    part: Part,
    kept: npt.NDArray[np.int64],
    codes: npt.NDArray[np.uint8],
    activations: npt.NDArray[np.float32] | None,
) -> EncodedPart:
    lost = sorted(set(range(len(part))) - set(kept.tolist()))
    return EncodedPart(
        part if not lost else part.subset(kept),
        codes,
        activations,
        tuple(part.names[i] for i in lost),
    )
