"""``python -m dsah_train evaluate``: every figure of one model on one data set, with a report."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from dsah_infer.errors import SpaceMismatchError, UsageError
from dsah_train.artefacts import checkpoint_path, open_artefact
from dsah_train.config import LARGEST_SEED
from dsah_train.data import load_dataset
from dsah_train.measurement import DEFAULT_TOPK, measure
from dsah_train.report import format_table, write_report

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path, help="RUN, RUN/ckpt.pt or an exported .onnx file")
    parser.add_argument("--data", required=True, help="folder, archive, manifest or embedded set")
    parser.add_argument(
        "--split-seed",
        type=int,
        help="seed of the split; default that of the training run, 0 for a graph",
    )
    parser.add_argument("--protocol", help="protocol of the data; default that of the training run")
    parser.add_argument(
        "--topk",
        type=int,
        nargs="+",
        default=DEFAULT_TOPK,
        metavar="K",
        help="cut-offs of MAP@k and precision@N; those beyond the gallery are left out",
    )
    parser.add_argument(
        "--prefixes",
        type=int,
        nargs="*",
        metavar="BITS",
        help="measure the first BITS of the codes too; default the lengths of nested codes",
    )
    parser.add_argument(
        "--model", type=Path, help="encode with this exported graph instead of the checkpoint"
    )
    parser.add_argument(
        "--gallery-model",
        type=Path,
        help="encode the gallery with this checkpoint or graph (the teacher of a student)",
    )
    parser.add_argument("--out", type=Path, help="report folder; default evaluation/ beside it")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures per forward pass")
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="skip",
        help="unreadable pictures end the evaluation, or are named, counted and left out, as in "
        "training (default: skip)",
    )
    parser.add_argument(
        "--no-pictures", action="store_true", help="numbers and report only, no plots"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write ``evaluation.json``, plots and ``report.md``."""
    if any(k < 1 for k in args.topk) or args.batch_size < 1:
        raise UsageError(f"--topk {args.topk}, --batch-size {args.batch_size}; allowed: 1 or more")
    args.checkpoint = checkpoint_path(args.checkpoint)
    if not 0 <= (args.split_seed or 0) <= LARGEST_SEED:
        raise UsageError(f"--split-seed {args.split_seed}, allowed: 0 to {LARGEST_SEED}")
    out = args.out or args.checkpoint.parent / ("evaluation-onnx" if args.model else "evaluation")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    trained = open_artefact(args.checkpoint, batch_size=args.batch_size)
    seed, protocol = args.split_seed, args.protocol
    if trained.config is not None:
        seed = trained.config.split_seed if seed is None else seed
        protocol = protocol or trained.config.protocol
    dataset = load_dataset(args.data, split_seed=seed or 0, protocol=protocol or None)
    if trained.config is None and args.split_seed is None and dataset.drawn:
        warnings.warn(
            f"{args.checkpoint} is a graph, which does not say what it was trained on: split seed "
            "0 is assumed, and under another one most queries are training pictures. Give "
            "--split-seed of the training, or evaluate its checkpoint (with --model this graph)",
            stacklevel=2,
        )
    artefact = open_artefact(args.model) if args.model else trained
    if artefact.contract.space != trained.contract.space:
        raise SpaceMismatchError(
            f"{args.model} was not exported from {args.checkpoint}: their code spaces are "
            f"{artefact.contract.space!r} and {trained.contract.space!r}"
        )
    searched = None
    if args.gallery_model:
        place = checkpoint_path(args.gallery_model)
        searched = open_artefact(place, batch_size=args.batch_size)
    prefixes = tuple(args.prefixes or ())
    if args.prefixes is None and trained.config is not None:
        prefixes = trained.config.lengths[:-1]
    print(dataset.summary())
    measurement = measure(
        artefact,
        dataset,
        trained=trained,
        gallery_artefact=searched,
        topk=tuple(args.topk),
        prefixes=prefixes,
        on_error=args.on_error,
    )
    print(format_table(measurement))
    if dataset.note:
        print(f"note: {dataset.note}")
    written = write_report(measurement, artefact, out, pictures=not args.no_pictures)
    print(f"written: {written}")
    return 0
