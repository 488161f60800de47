"""compare exported files with their checkpoint, bit by bit, in every way of running them here

examples:
  python export/verify.py model.onnx --against RUN/ckpt.pt --data flowers17.zip
  python export/verify.py RUN/model*.onnx --against RUN/ckpt.pt --data pictures/ --pictures 500
  python export/verify.py model.onnx --against ckpt.pt --data pictures/ --max-flip-rate 0

Exit code 1: a file is over the budget, or is none of that checkpoint's; 2: wrong arguments.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":  # runs from any folder; export/ itself must not shadow other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from export.requirements import need

    need("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "matplotlib")

from dsah_infer.cli import INTERRUPTED
from dsah_infer.errors import DsahError, SpaceMismatchError, UsageError
from dsah_infer.onnx_file import ModelFile, read_model
from dsah_infer.providers import import_onnxruntime, working_devices
from dsah_infer.session import OnnxSession
from dsah_train.artefacts import checkpoint_path
from dsah_train.checkpoint import Checkpoint, load_checkpoint
from dsah_train.encode import Codes
from export.gate import Budget, add_budget_arguments
from export.labelled import Labelled, load_labelled, map_of, top10_agreement
from export.output import writing
from export.parity import Parity, compare, reference_run, run_session, tie_bound
from export.pictures import BATCHES

__all__ = ["Run", "Verdict", "main", "verify", "verify_all"]

THREADS = (1, 2)


@dataclass(frozen=True)
class Run:
    """One way of running one file over all pictures.

    Attributes:
        device: ``cpu``, ``cuda``.
        threads: Threads within an operator.
        batch: Pictures per run.
        pictures_per_second: Of inference alone after a first batch, on the machine as it was.
        parity: Its codes against torch.
    """

    device: str
    threads: int
    batch: int
    pictures_per_second: float
    parity: Parity


@dataclass(frozen=True)
class Verdict:
    """All runs of one file, and what the budget says.

    Attributes:
        file: Name of the file.
        size: Its bytes.
        precision: From its contract.
        fingerprint: From its contract.
        runs: Every device, thread count and batch size.
        map_before: MAP@all of the checkpoint.
        map_after: MAP@all of its own codes on both sides.
        map_mixed: MAP@all of the checkpoint's queries on its gallery.
        top10: Mean share of a query's ten nearest in common with torch.
        objections: Why it is refused; empty when it is not.
        codes: Of the run with the most flips; not part of the record.
    """

    file: str
    size: int
    precision: str
    fingerprint: str
    runs: tuple[Run, ...]
    map_before: float
    map_after: float
    map_mixed: float
    top10: float
    objections: tuple[str, ...]
    codes: Codes = field(repr=False)

    @property
    def worst(self) -> Run:
        """The run with the most flips."""
        return max(self.runs, key=lambda run: run.parity.flipped_bits)


def verify(
    path: Path,
    ours: Codes,
    data: Labelled,
    budget: Budget,
    space: str,
    *,
    threads: tuple[int, ...] = THREADS,
    batches: tuple[int, ...] = BATCHES,
) -> Verdict:
    """Run one exported file every way and judge it.

    Args:
        path: An exported file.
        ours: The checkpoint's codes of ``data.images``.
        data: Pictures and labels.
        budget: What it may lose.
        space: Code space of the checkpoint.
        threads: Thread counts.
        batches: Batch sizes.

    Raises:
        SpaceMismatchError: The file was not made from the checkpoint.
    """
    model = read_of(path, space)
    contract = model.contract
    runs, kept = [], None
    for device in working_devices(import_onnxruntime()):
        for count in threads:
            for batch in batches:
                run, codes = _run(model, data, ours, device, count, batch)
                if kept is None or run.parity.flipped_bits > max(
                    r.parity.flipped_bits for r in runs
                ):
                    kept = codes
                runs.append(run)
    assert kept is not None
    map_before, map_after = (map_of(c, c, data, contract) for c in (ours, kept))
    worst = max(runs, key=lambda run: run.parity.flipped_bits).parity
    judged = dataclasses.replace(  # each way of running it must pass, not only the one above
        worst,
        flipped_symbols=max(run.parity.flipped_symbols for run in runs),
        largest_flip=max(run.parity.largest_flip for run in runs),
        activation_gap=max(run.parity.activation_gap for run in runs),
        not_finite=max(run.parity.not_finite for run in runs),
    )
    return Verdict(
        file=path.name,
        size=len(model.data),
        precision=contract.precision,
        fingerprint=contract.fingerprint,
        runs=tuple(runs),
        map_before=map_before,
        map_after=map_after,
        map_mixed=map_of(ours, kept, data, contract),
        top10=top10_agreement(ours, kept, data.queries, contract),
        objections=tuple(
            budget.objections(
                contract.precision, judged, tie_bound(ours.activations), map_before - map_after
            )
        ),
        codes=kept,
    )


def read_of(path: Path, space: str) -> ModelFile:
    """An exported file, if it is one of the checkpoint's code space.

    Raises:
        SpaceMismatchError: The file was not made from the checkpoint.
    """
    model = read_model(path)
    if model.contract.space != space:
        raise SpaceMismatchError(
            f"{path} has code space {model.contract.space!r}, the checkpoint {space!r}: it was "
            "exported from another training run"
        )
    return model


def verify_all(
    paths: list[Path],
    checkpoint: Checkpoint,
    data: Labelled,
    budget: Budget,
    out: Path,
    command: str,
) -> list[Verdict]:
    """Judge files of one checkpoint, and write the report on all of them.

    Args:
        paths: Exported files, of any precision.
        checkpoint: What they were made from.
        data: Pictures and labels.
        budget: What they may lose.
        out: Folder for ``parity.json``, ``parity.md`` and ``margins.png``.
        command: How to repeat it; goes into the report.

    Raises:
        SpaceMismatchError: A file was not made from the checkpoint.
        OutputError: ``out`` cannot be written.
    """
    from export.parity_report import write_report

    space = checkpoint.contract.space
    with writing(out / "parity.json"):  # a place that cannot be written is not worth waiting for
        ours = reference_run(checkpoint, data.images)
        verdicts = [verify(path, ours, data, budget, space) for path in paths]
        write_report(out, checkpoint, data, ours, verdicts, budget, command)
    return verdicts


def _run(
    model: ModelFile, data: Labelled, ours: Codes, device: str, threads: int, batch: int
) -> tuple[Run, Codes]:
    session = OnnxSession(model, device, threads)
    run_session(session, data.images[:batch], batches=(batch,))  # warm-up: buffers, page faults
    start = time.perf_counter()
    codes = run_session(session, data.images, batches=(batch,))
    seconds = time.perf_counter() - start
    session.close()
    parity = compare(ours, codes, model.contract)
    return Run(device, threads, batch, len(data.images) / seconds, parity), codes


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", type=Path, nargs="+", help="exported files, of any precision")
    parser.add_argument("--against", type=Path, required=True, help="RUN or RUN/ckpt.pt")
    parser.add_argument("--data", required=True, help="pictures and labels: folder or archive")
    parser.add_argument(
        "--pictures", type=int, default=2000, help="most pictures, evenly taken (default: 2000)"
    )
    parser.add_argument("-o", "--out", type=Path, help="report (default: parity/ beside ckpt.pt)")
    add_budget_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit code 1 if any file is over the budget."""
    args = parser().parse_args(argv)
    try:
        if args.pictures < 20:
            raise UsageError(f"--pictures {args.pictures}; allowed: 20 or more")
        budget = Budget(args.max_flip_rate, args.max_map_drop)
        args.against = checkpoint_path(args.against)
        checkpoint = load_checkpoint(args.against)
        for path in args.models:  # before the pictures, which take their time
            read_of(path, checkpoint.contract.space)
        data = load_labelled(args.data, checkpoint, pictures=args.pictures)
        out = args.out or args.against.parent / "parity"
        verdicts = verify_all(args.models, checkpoint, data, budget, out, _command(args))
    except DsahError as error:
        print(f"verify: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("verify: interrupted; no report was written", file=sys.stderr)
        return INTERRUPTED
    print((out / "parity.md").read_text())
    for verdict in verdicts:
        for objection in verdict.objections:
            print(f"verify: {verdict.file}: {objection}", file=sys.stderr)
    return 1 if any(verdict.objections for verdict in verdicts) else 0


def _command(args: argparse.Namespace) -> str:
    """How to repeat the run, without the paths of this machine."""
    names = " ".join(path.name for path in args.models)
    data = Path(args.data).name
    given = f" --max-flip-rate {args.max_flip_rate:g}" if args.max_flip_rate is not None else ""
    return (
        f"python export/verify.py {names} --against {args.against.name} --data {data} "
        f"--pictures {args.pictures}{given} --max-map-drop {args.max_map_drop:g}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
