"""write a Triton model repository that takes encoded pictures and answers with codes

examples:
  python export/to_triton.py RUN/model.onnx
  python export/to_triton.py RUN/model.onnx -o repository/ --max-batch 64
  python export/to_triton.py RUN/model.onnx --plan RUN/model.plan --max-batch 64

A repository of this command that is there already is replaced as a whole.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from export.requirements import need

    need("onnx")

from dsah_infer.cli import INTERRUPTED
from dsah_infer.errors import DsahError, ExportError, SpaceMismatchError, UsageError
from dsah_infer.onnx_file import ModelFile, read_model
from dsah_infer.session import output_shapes
from dsah_infer.tensorrt_session import read_plan, read_sidecar
from export.output import writing
from export.triton_config import (
    check_config,
    check_pictures_config,
    encoder_config,
    pictures_config,
)

__all__ = ["export_repository", "main"]

ENCODER, PICTURES = "dsah_encoder", "dsah"


def export_repository(
    onnx_file: Path, out: Path, *, plan: Path | None = None, max_batch: int = 32
) -> None:
    """Write a model repository with two models; a repository that is there is replaced.

    ``dsah_encoder`` runs the graph on squares uint8 (S, S, 3); ``dsah`` takes encoded pictures,
    decodes them with `dsah_infer` in Triton's Python backend and calls the encoder.

    Args:
        onnx_file: From ``to_onnx.py``.
        out: Folder of the repository, new or made by this function.
        plan: Run this plan, built from the same ONNX file, instead.
        max_batch: Largest batch; a plan's profile must hold it.

    Raises:
        ModelFileError: Not an exported file, or a plan without its sidecar.
        SpaceMismatchError: The plan was built from another file.
        UsageError: A batch beyond the plan's profile, or a folder that holds something else.
        OutputError: ``out`` cannot be written.
    """
    model = read_model(onnx_file)
    if max_batch < 1:
        raise UsageError(f"--max-batch {max_batch}; allowed: 1 or more")
    if plan is not None:
        _check_plan(plan, model, max_batch)
    _check_place(out)
    with (
        writing(out),
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
    ):
        part = Path(folder) / "repository"
        _write(part, model, plan, max_batch)
        old = Path(folder) / "old"
        if out.exists():
            out.replace(old)
        part.replace(out)


def _write(part: Path, model: ModelFile, plan: Path | None, max_batch: int) -> None:
    encoder, pictures = part / ENCODER / "1", part / PICTURES / "1"
    for folder in (encoder, pictures):
        folder.mkdir(parents=True)
    if plan is None:
        (encoder / "model.onnx").write_bytes(model.data)
    else:
        shutil.copyfile(plan, encoder / "model.plan")
    text = encoder_config(ENCODER, model, plan=plan is not None, max_batch=max_batch)
    check_config(text, model)
    (part / ENCODER / "config.pbtxt").write_text(text)
    text = pictures_config(PICTURES, model.contract, max_batch=max_batch)
    check_pictures_config(text, model)
    (part / PICTURES / "config.pbtxt").write_text(text)
    shutil.copyfile(Path(__file__).with_name("triton_pictures.py"), pictures / "model.py")
    (pictures / "contract.json").write_text(model.contract.to_json())
    facts = {"name": ENCODER, "outputs": list(output_shapes(model.contract))}
    (pictures / "encoder.json").write_text(json.dumps(facts))


def _check_place(out: Path) -> None:
    """Refuse a folder that holds anything which replacing it would take along."""
    if not out.exists():
        return
    if not (out / ENCODER / "config.pbtxt").is_file():
        raise UsageError(f"{out} is there and is not a repository of this command; choose another")
    others = sorted({path.name for path in out.iterdir()} - {ENCODER, PICTURES})
    if others:
        raise UsageError(
            f"{out} also holds {', '.join(others)}, which replacing it would remove; write to "
            f"another folder and copy {ENCODER} and {PICTURES} from there"
        )


def _check_plan(plan: Path, model: ModelFile, max_batch: int) -> None:
    facts = read_sidecar(plan)
    if facts["onnx_fingerprint"] != model.contract.fingerprint:
        raise SpaceMismatchError(
            f"{plan} was built from the file {facts['onnx_fingerprint']}, not from "
            f"{model.contract.fingerprint}; build it again with export/to_tensorrt.py"
        )
    read_plan(plan, facts)
    if facts["library"] != "tensorrt":
        raise UsageError(
            f"{plan} was built by {facts['library']}; Triton's TensorRT backend loads plans of "
            "tensorrt only. Leave --plan out to serve the ONNX file"
        )
    try:
        least, most = int(facts["profile"]["min"]), int(facts["profile"]["max"])
    except (KeyError, TypeError, ValueError):
        raise ExportError(f"{plan}: its sidecar has no profile with min and max") from None
    if least > 1 or max_batch > most:
        raise UsageError(
            f"--max-batch {max_batch}: the plan takes batches of {least} to {most}, and Triton "
            "sends any from 1 up"
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="to_triton.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a file of to_onnx.py")
    parser.add_argument("-o", "--out", type=Path, help="default: model_repository/ beside it")
    parser.add_argument(
        "--plan", type=Path, help="run this plan of to_tensorrt.py (default: run the ONNX file)"
    )
    parser.add_argument("--max-batch", type=int, default=32, help="largest batch (default: 32)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    # A folder named triton would be the module triton to a Python that starts beside it, and
    # torch asks for that module.
    out = args.out or args.model.parent / "model_repository"
    try:
        export_repository(args.model, out, plan=args.plan, max_batch=args.max_batch)
    except DsahError as error:
        print(f"to_triton: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("to_triton: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    print(f"{out}: models {PICTURES} (pictures to codes) and {ENCODER} (squares to codes)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
