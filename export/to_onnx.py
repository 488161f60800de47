"""``python export/to_onnx.py ckpt.pt``: one self-contained ONNX file, checked before it appears."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import onnx

from dsah_infer.errors import DsahError, ExportError
from dsah_infer.onnx_file import ModelFile, read_model
from dsah_train.checkpoint import Checkpoint, load_checkpoint
from dsah_train.encode import encode
from export.onnx_model import fused_model, serialise
from export.parity import Parity, compare, run_onnx, tie_bound
from export.pictures import BATCHES, fixed_pictures

__all__ = ["check", "export_onnx", "main"]


def export_onnx(
    checkpoint: Checkpoint, out: Path, *, opset: int = 20, saliency: bool = True
) -> tuple[ModelFile, Parity]:
    """Write ``out`` and check it; on any failure nothing is left behind.

    Args:
        checkpoint: The trained model.
        out: The ONNX file; an older one is replaced.
        opset: ONNX operator set.
        saliency: Keep the saliency output of a method with attention.

    Returns:
        The file as read back, and how it compares with torch on the fixed pictures.

    Raises:
        ExportError: The graph is invalid, or its codes are not those of the checkpoint.
    """
    contract = checkpoint.contract
    contract = contract.replace(has_saliency=contract.has_saliency and saliency)
    data = serialise(fused_model(checkpoint.model, contract, opset=opset), contract)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        part = Path(folder) / out.name
        part.write_bytes(data)
        result = check(part, checkpoint)
        part.replace(out)
    return result


def check(path: Path, checkpoint: Checkpoint) -> tuple[ModelFile, Parity]:
    """Check a written file: ONNX rules, its contract, and its codes against the checkpoint.

    Raises:
        ExportError: One of them does not hold; the message says which.
    """
    model = read_model(path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker's and protobuf's classes differ between releases
        raise ExportError(f"the ONNX checker refuses the graph: {error}") from error
    images = fixed_pictures(model.contract.pixels.size)
    ours = encode(checkpoint.model, images, model.contract, saliency=True)
    parity = compare(ours, run_onnx(model, images, batches=BATCHES), model.contract)
    bound = tie_bound(ours.activations)
    if parity.largest_flip >= bound and parity.flipped_bits:
        raise ExportError(
            f"{parity.flipped_bits} of {parity.pictures * parity.bits} bits differ between torch "
            f"and onnxruntime, up to a margin of {parity.largest_flip:.2g}; only margins under "
            f"{bound:.2g} may flip. The largest difference of an activation is "
            f"{parity.activation_gap:.2g}"
        )
    return model, parity


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="to_onnx.py", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="ckpt.pt of a training run")
    parser.add_argument("-o", "--out", type=Path, help="ONNX file; default model.onnx beside it")
    parser.add_argument("--opset", type=int, default=20, help="ONNX operator set (20)")
    parser.add_argument("--no-saliency", action="store_true", help="leave the saliency output out")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        out = args.out or args.checkpoint.with_name("model.onnx")
        model, parity = export_onnx(
            checkpoint, out, opset=args.opset, saliency=not args.no_saliency
        )
    except DsahError as error:
        print(f"to_onnx: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"{out}: {len(model.data):,} bytes, {model.contract.method}, {model.contract.bits} bits, "
        f"fingerprint {model.contract.fingerprint}\n"
        f"torch against onnxruntime on {parity.pictures} pictures at batches "
        f"{', '.join(map(str, BATCHES))}: {parity.flipped_bits} of "
        f"{parity.pictures * parity.bits} bits differ (smallest margin "
        f"{parity.smallest_margin:.2g}, largest difference of an activation "
        f"{parity.activation_gap:.2g}, of a saliency value {parity.saliency_gap:.2g})"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
