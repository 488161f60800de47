"""build a TensorRT plan of an exported file, and write what it fits into <plan>.json

examples:
  python export/to_tensorrt.py RUN/model.onnx
  python export/to_tensorrt.py RUN/model.fp16.onnx --min 1 --opt 32 --max 256 -o half.plan
  python export/to_tensorrt.py RUN/model.int8-tensorrt.onnx --library tensorrt_rtx

A plan that fits already is kept. Plans were never run in this project: docs/export.md says why.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from dsah_infer.atomic_file import replacing
from dsah_infer.cli import INTERRUPTED
from dsah_infer.errors import DsahError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_infer.tensorrt_library import LIBRARIES, import_tensorrt
from export.output import writing
from export.tensorrt_builder import Profile, build_plan, sidecar

__all__ = ["export_plan", "main", "sidecar_path"]


def sidecar_path(plan: Path) -> Path:
    """``model.plan.json`` for ``model.plan``."""
    return plan.with_name(plan.name + ".json")


def export_plan(
    onnx_file: Path, out: Path, profile: Profile | None = None, *, library: str | None = None
) -> bool:
    """Build ``out`` from an exported file, unless what is there already fits.

    A plan fits when its sidecar names these very bytes, and this ONNX file, profile, library
    version and compute capability. The plan is what ``trtexec`` and Triton read: nothing is put
    before it.

    Args:
        onnx_file: From ``to_onnx.py``; its precision decides the engine's.
        out: The plan; the facts go to ``<out>.json``.
        profile: Batch sizes.
        library: ``tensorrt`` or ``tensorrt_rtx``; default the first that imports.

    Returns:
        Whether it was built; False when the plan there fits.

    Raises:
        ModelFileError: Not an exported file.
        MissingDependencyError: No TensorRT builder.
        ExportError: TensorRT refuses the graph.
        OutputError: ``out`` cannot be written.
    """
    profile = profile or Profile()
    model = read_model(onnx_file)
    trt, name = import_tensorrt(library)
    facts = sidecar(trt, name, model, profile)
    if out.is_file() and _facts(sidecar_path(out)) == facts | _digest(out.read_bytes()):
        return False
    plan = build_plan(trt, model, profile)
    with writing(out):
        # A plan without its facts is refused by readers, an old plan with new facts would not be:
        # the old facts go first, the new ones come last.
        sidecar_path(out).unlink(missing_ok=True)
        with replacing(out) as file:
            file.write(plan)
        with replacing(sidecar_path(out)) as file:
            file.write((json.dumps(facts | _digest(plan), indent=2) + "\n").encode())
    return True


def _digest(plan: bytes) -> dict[str, str]:
    return {"plan_sha256": hashlib.sha256(plan).hexdigest()}


def _facts(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="to_tensorrt.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a file of to_onnx.py, of any precision")
    parser.add_argument("-o", "--out", type=Path, help="default: beside it, as .plan")
    parser.add_argument("--min", type=int, default=1, help="smallest batch (default: 1)")
    parser.add_argument("--opt", type=int, default=8, help="batch to tune for (default: 8)")
    parser.add_argument("--max", type=int, default=64, help="largest batch (default: 64)")
    parser.add_argument(
        "--library", choices=tuple(LIBRARIES), help="builder (default: the first that is installed)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    out = args.out or args.model.with_suffix(".plan")
    try:
        if out.suffix != ".plan":  # an ONNX file named by mistake would be replaced, too
            raise UsageError(f"-o {out}: end it with .plan, by which Encoder knows plans")
        profile = Profile(args.min, args.opt, args.max)
        built = export_plan(args.model, out, profile, library=args.library)
    except DsahError as error:
        print(f"to_tensorrt: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("to_tensorrt: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    facts = json.loads(sidecar_path(out).read_text())
    print(
        f"{out}: {'built' if built else 'already fits, not built again'}; {facts['precision']}, "
        f"{out.stat().st_size:,} bytes, {facts['library']} {facts['library_version']}, compute "
        f"capability {facts['compute_capability']}, batches {profile.min} to {profile.max}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
