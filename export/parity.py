"""Two runs of the same pictures, compared in bits: how many flip, and how near to a tie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.errors import ExportError
from dsah_infer.onnx_file import ModelFile
from dsah_infer.session import OnnxSession, output_shapes
from dsah_train.checkpoint import Checkpoint
from dsah_train.encode import Codes, encode

__all__ = [
    "TIE",
    "Parity",
    "compare",
    "margins",
    "reference_run",
    "run_onnx",
    "run_session",
    "symbols_of",
    "tie_bound",
]

#: Relative size of the activations at which float32 may fall to either side of a threshold:
#: measured differences between torch and onnxruntime are 1e-7 to 1e-5 of the spread.
TIE = 1e-4


@dataclass(frozen=True)
class Parity:
    """How far the codes of one run are from those of another.

    Attributes:
        pictures: n.
        bits: Stored bits of one code.
        flipped_bits: Bits that differ, over all codes.
        flipped_symbols: Symbols that differ; equals ``flipped_bits`` for sign codes.
        largest_flip: Largest margin, in the reference run, of a symbol that differs; 0 for none.
        smallest_margin: Smallest margin of all symbols in the reference run.
        activation_gap: Largest |difference| of an activation.
        saliency_gap: Largest |difference| of a saliency value, where there is one.
        not_finite: Activations of the other run that are infinite or no numbers.
    """

    pictures: int
    bits: int
    flipped_bits: int
    flipped_symbols: int
    largest_flip: float
    smallest_margin: float
    activation_gap: float
    saliency_gap: float
    not_finite: int = 0

    @property
    def flip_rate(self) -> float:
        """Share of bits that differ."""
        return self.flipped_bits / max(1, self.pictures * self.bits)

    @property
    def flips_per_code(self) -> float:
        """Mean number of bits that differ in one code."""
        return self.flipped_bits / max(1, self.pictures)


def margins(
    activations: npt.NDArray[np.float32], contract: CodeContract
) -> npt.NDArray[np.float32]:
    """Distance of each symbol from its decision, (n, segments), at least 0.

    |activation| for sign codes; the gap between the two largest activations for ordinal codes.
    """
    if contract.activations == contract.bits:
        return np.abs(activations)
    segments = activations.reshape(len(activations), contract.segments, contract.arity)
    top = np.partition(segments, -2, axis=-1)[..., -2:]
    gaps: npt.NDArray[np.float32] = top[..., 1] - top[..., 0]
    return gaps


def symbols_of(codes: npt.NDArray[np.uint8], contract: CodeContract) -> npt.NDArray[np.uint8]:
    """Packed codes (n, bytes) to symbols uint8 (n, segments)."""
    bits = np.unpackbits(codes, axis=-1, count=contract.bits)
    parts = bits.reshape(len(codes), contract.segments, contract.symbol_bits)
    weights = 1 << np.arange(contract.symbol_bits - 1, -1, -1)
    symbols: npt.NDArray[np.uint8] = (parts @ weights).astype(np.uint8)
    return symbols


def tie_bound(activations: npt.NDArray[np.float32]) -> float:
    """Margin below which a symbol may flip between two float32 runtimes: `TIE` times the RMS."""
    return TIE * float(np.sqrt(np.mean(np.square(activations, dtype=np.float64))))


def compare(reference: Codes, other: Codes, contract: CodeContract) -> Parity:
    """Compare two runs of the same pictures.

    Raises:
        ValueError: Codes of different shapes.
    """
    if reference.codes.shape != other.codes.shape:
        raise ValueError(f"codes {reference.codes.shape} against {other.codes.shape}")
    differs = symbols_of(reference.codes, contract) != symbols_of(other.codes, contract)
    margin = margins(reference.activations, contract)
    saliency_gap = 0.0
    if reference.saliency is not None and other.saliency is not None:
        saliency_gap = float(np.abs(reference.saliency - other.saliency).max(initial=0))
    return Parity(
        pictures=len(reference.codes),
        bits=contract.bits,
        flipped_bits=int(np.bitwise_count(reference.codes ^ other.codes).sum()),
        flipped_symbols=int(differs.sum()),
        largest_flip=float(margin[differs].max(initial=0)),
        smallest_margin=float(margin.min(initial=np.inf)),
        activation_gap=float(np.abs(reference.activations - other.activations).max(initial=0)),
        saliency_gap=saliency_gap,
        not_finite=int((~np.isfinite(other.activations)).sum()),
    )


def reference_run(
    checkpoint: Checkpoint, images: npt.NDArray[np.uint8], *, saliency: bool = False
) -> Codes:
    """What torch makes of the pictures: the run that all others are compared with.

    Raises:
        ExportError: Its activations are not finite: both sides of a comparison would call such
            bits 0 and agree.
    """
    codes = encode(checkpoint.model, images, checkpoint.contract, saliency=saliency)
    bad = int((~np.isfinite(codes.activations)).sum())
    if bad:
        raise ExportError(
            f"{bad} of {codes.activations.size} activations of the checkpoint are infinite or no "
            "numbers: its training diverged; train again with a lower --lr"
        )
    return codes


def run_onnx(
    model: ModelFile,
    images: npt.NDArray[np.uint8],
    *,
    batches: tuple[int, ...],
    threads: int = 1,
    device: str = "cpu",
) -> Codes:
    """Run pictures through onnxruntime, the batch sizes taken in turn.

    Args:
        model: A sealed model.
        images: uint8 (n, S, S, 3).
        batches: Batch sizes; (1, 3, 17) runs 1, then 3, then 17 pictures, then 1 again.
        threads: Threads within an operator.
        device: As `dsah_infer.Encoder` takes it.
    """
    session = OnnxSession(model, device, threads)
    codes = run_session(session, images, batches=batches)
    session.close()
    return codes


def run_session(
    session: OnnxSession, images: npt.NDArray[np.uint8], *, batches: tuple[int, ...]
) -> Codes:
    """`run_onnx` on a session that is open already."""
    names = list(output_shapes(session.contract))
    parts, at, turn = [], 0, 0
    while at < len(images):
        step = batches[turn % len(batches)]
        parts.append(session.run(names, images[at : at + step]))
        at, turn = at + step, turn + 1
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Codes(columns[0], columns[1], columns[2] if len(columns) > 2 else None)
