"""make one self-contained ONNX file of a checkpoint; it appears only if its bits are torch's

examples:
  python export/to_onnx.py RUN/ckpt.pt
  python export/to_onnx.py RUN/ckpt.pt --precision fp16 -o half.onnx --data flowers17.zip
  python export/to_onnx.py RUN/ckpt.pt --precision int8 --calibrate pictures/
  python export/to_onnx.py RUN/ckpt.pt --precision int8 --target tensorrt --calibrate pictures/

Exit code 1: the gate refused the file, and nothing was written; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from export.requirements import need

    need("torch", "torchvision", "onnx", "onnxscript", "onnxruntime")

import numpy as np
import numpy.typing as npt
import onnx

from dsah_infer.cli import INTERRUPTED
from dsah_infer.contract import CodeContract
from dsah_infer.errors import DsahError, ExportError, UsageError
from dsah_infer.onnx_file import ModelFile, read_model
from dsah_train.artefacts import checkpoint_path
from dsah_train.checkpoint import Checkpoint, load_checkpoint
from export.gate import Budget, add_budget_arguments
from export.half import halve
from export.labelled import Labelled, load_calibration, load_labelled, map_of
from export.onnx_model import fused_model, serialise
from export.output import writing
from export.parity import Parity, compare, reference_run, run_onnx, tie_bound
from export.pictures import BATCHES, fixed_pictures
from export.quantize import TARGETS, quantize

__all__ = ["PRECISIONS", "Recipe", "Written", "export_onnx", "judge", "main"]

PRECISIONS = ("fp32", "fp16", "int8")
Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """What to make of a checkpoint.

    Attributes:
        precision: ``fp32``, ``fp16`` (trunk in half) or ``int8`` (trunk in int8).
        target: Of int8: ``cpu`` or ``tensorrt``.
        calibration: Of int8: uint8 (n, S, S, 3), at least 2; every fourth is kept to judge by.
        opset: ONNX operator set.
        saliency: Keep the saliency output of a method with attention.
    """

    precision: str = "fp32"
    target: str = "cpu"
    calibration: Pictures | None = None
    opset: int = 20
    saliency: bool = True


@dataclass(frozen=True)
class Written:
    """A file that passed the gate.

    Attributes:
        model: The file as read back.
        parity: Its codes against the checkpoint's.
        map_before: MAP@all of the checkpoint, where there are labels.
        map_after: MAP@all of the file.
    """

    model: ModelFile
    parity: Parity
    map_before: float | None = None
    map_after: float | None = None


def export_onnx(
    checkpoint: Checkpoint,
    out: Path,
    recipe: Recipe | None = None,
    *,
    budget: Budget | None = None,
    data: Labelled | None = None,
) -> Written:
    """Write ``out`` and judge it; on any failure nothing is left behind.

    Args:
        checkpoint: The trained model.
        out: The ONNX file; an older one is replaced.
        recipe: Precision and operator set; default fp32.
        budget: What it may lose.
        data: Pictures to judge on; default the fixed ones, for int8 the calibration pictures
            that were kept.

    Raises:
        ExportError: The graph is invalid, or its codes are too far from the checkpoint's.
        UsageError: A recipe that does not exist.
        OutputError: ``out`` cannot be written.
    """
    recipe = recipe or Recipe()
    contract = checkpoint.contract.replace(
        has_saliency=checkpoint.contract.has_saliency and recipe.saliency,
        precision=recipe.precision,
    )
    with (
        writing(out),  # first of all: a place that cannot be written is not worth waiting for
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
    ):
        content = serialise(_graph(checkpoint, contract, recipe), contract)
        part = Path(folder) / out.name
        part.write_bytes(content)
        images = _judged_on(recipe, data, contract)
        written = judge(part, checkpoint, images, budget or Budget(), data)
        part.replace(out)
    return written


def _judged_on(recipe: Recipe, data: Labelled | None, contract: CodeContract) -> Pictures:
    if data is not None:
        return data.images
    if recipe.precision == "int8" and recipe.calibration is not None:
        return recipe.calibration[3::4] if len(recipe.calibration) > 3 else recipe.calibration
    return fixed_pictures(contract.pixels.size)


def _graph(checkpoint: Checkpoint, contract: CodeContract, recipe: Recipe) -> onnx.ModelProto:
    if recipe.precision not in PRECISIONS or recipe.target not in TARGETS:
        raise UsageError(
            f"precision {recipe.precision!r}, target {recipe.target!r}; allowed: "
            f"{', '.join(PRECISIONS)}, and {', '.join(TARGETS)}"
        )
    if recipe.precision == "int8" and (recipe.calibration is None or len(recipe.calibration) < 2):
        raise UsageError("int8 needs at least two pictures to calibrate on: --calibrate DATA")
    model = fused_model(checkpoint.model, contract, opset=recipe.opset)
    if recipe.precision == "fp16":
        return halve(model, contract.activations)
    if recipe.precision == "int8" and recipe.calibration is not None:
        seen = np.arange(len(recipe.calibration)) % 4 != 3
        images = recipe.calibration[seen]
        return quantize(model, contract, images, target=recipe.target)
    return model


def judge(
    path: Path, checkpoint: Checkpoint, images: Pictures, budget: Budget, data: Labelled | None
) -> Written:
    """Check a written file: ONNX rules, its contract, and its codes against the checkpoint."""
    model = read_model(path)
    contract = model.contract
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker's and protobuf's classes differ between releases
        raise ExportError(f"the ONNX checker refuses the graph: {error}") from error
    ours = reference_run(checkpoint, images, saliency=True)
    theirs = run_onnx(model, images, batches=BATCHES)
    parity = compare(ours, theirs, contract)
    before = after = drop = None
    if data is not None:
        before, after = (map_of(run, run, data, contract) for run in (ours, theirs))
        drop = before - after
    objections = budget.objections(contract.precision, parity, tie_bound(ours.activations), drop)
    if objections:
        raise ExportError("torch and onnxruntime disagree: " + "; ".join(objections))
    return Written(model, parity, before, after)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="to_onnx.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="RUN/ckpt.pt, or the run folder")
    parser.add_argument("-o", "--out", type=Path, help="default: model*.onnx beside it")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of the trunk (default: fp32)"
    )
    parser.add_argument(
        "--calibrate", metavar="DATA", help="int8: class folders, or other labelled data"
    )
    parser.add_argument("--target", choices=TARGETS, help="int8: who runs it (default: cpu)")
    parser.add_argument("--opset", type=int, default=20, help="operator set (default: 20)")
    parser.add_argument("--no-saliency", action="store_true", help="leave the saliency output out")
    parser.add_argument(
        "--data",
        help="judge bits and MAP on this data (default: that of --calibrate; without "
        "it, bits alone on fixed pictures)",
    )
    add_budget_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    args.checkpoint = checkpoint_path(args.checkpoint)
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        if args.precision != "int8" and (args.calibrate or args.target):
            raise UsageError("--calibrate and --target belong to --precision int8")
        if args.out and (args.out.is_dir() or args.out.resolve() == args.checkpoint.resolve()):
            raise UsageError(f"-o {args.out}: name a new file, not a folder or the checkpoint")
        if args.out and args.out.suffix == ".plan":
            raise UsageError(f"-o {args.out}: .plan names TensorRT's plans; end it with .onnx")
        budget = Budget(args.max_flip_rate, args.max_map_drop)
        checkpoint = load_checkpoint(args.checkpoint)
        judged = args.data or args.calibrate  # labels at hand: MAP is asked for
        written = export_onnx(
            checkpoint,
            out := args.out or args.checkpoint.with_name(_default_name(args)),
            Recipe(
                args.precision,
                args.target or "cpu",
                load_calibration(args.calibrate, checkpoint) if args.calibrate else None,
                args.opset,
                not args.no_saliency,
            ),
            budget=budget,
            data=load_labelled(judged, checkpoint) if judged else None,
        )
    except DsahError as error:
        print(f"to_onnx: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("to_onnx: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    print(_summary(out, written))
    return 0


def _default_name(args: argparse.Namespace) -> str:
    parts = ["model"]
    if args.precision != "fp32":
        parts.append(args.precision)
    if args.precision == "int8" and args.target == "tensorrt":
        parts[-1] += "-tensorrt"
    return ".".join([*parts, "onnx"])


def _summary(out: Path, written: Written) -> str:
    contract, parity = written.model.contract, written.parity
    lines = [
        f"{out}: {len(written.model.data):,} bytes, {contract.method}, {contract.bits} bits, "
        f"{contract.precision}, fingerprint {contract.fingerprint}",
        f"torch against onnxruntime on {parity.pictures} pictures at batches "
        f"{', '.join(map(str, BATCHES))}: {parity.flipped_bits} of "
        f"{parity.pictures * parity.bits} bits differ, up to a margin of "
        f"{parity.largest_flip:.2g} (smallest margin {parity.smallest_margin:.2g}; largest "
        f"difference of an activation {parity.activation_gap:.2g}, of a saliency value "
        f"{parity.saliency_gap:.2g})",
    ]
    if written.map_before is not None:
        lines.append(f"MAP@all: torch {written.map_before:.4f}, this file {written.map_after:.4f}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
