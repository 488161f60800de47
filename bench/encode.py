"""``python bench/encode.py CKPT --data flowers17.zip``: how fast, how small, how good encoding is.

Sections: ``engines`` (onnxruntime against torch), ``precision`` (bits and MAP of fp16 and int8, by
the whole parity gate, whose report goes to parity/), ``cleanups`` (graphs before and after),
``pipeline`` (files to codes), ``start`` (first code, bytes, memory, in a fresh environment),
``rivals`` (FAISS on floats, perceptual hashes), ``paper`` (the VGG-16 pair). Each is kept when
done; run the command again to continue, or with --again to measure anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.encoding.cleanups import measure_cleanups
from bench.encoding.engines import measure_engines
from bench.encoding.footprint import cold_start, fresh_environment, installed_bytes, peak_memory
from bench.encoding.pipeline import large_photographs, measure_pipeline, query_files
from bench.encoding.record import Results, machine
from bench.encoding.rivals import measure_rivals
from bench.encoding.variants import exported, exported_for_speed, paper_variants
from dsah_infer.cpu import available_cores
from dsah_infer.errors import DsahError
from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import load_checkpoint
from export.cost import graph_cost
from export.gate import Budget
from export.labelled import load_labelled
from export.verify import verify_all

Rows = list[dict[str, Any]]


def engines(args: argparse.Namespace) -> Rows:
    """Images per second of the fused graph under onnxruntime and torch."""
    files = exported(args.checkpoint, args.work, args.data)
    files |= exported_for_speed(args.checkpoint, args.work)
    variants = {f"onnxruntime {name}": ("onnx", path) for name, path in files.items()}
    for name in ("eager", "channels_last", *(() if args.no_compile else ("compile",))):
        variants[f"torch {name}"] = (name, args.checkpoint)
    rows = measure_engines(variants, rounds=args.rounds, threads=_threads())
    costs = {f"onnxruntime {n}": graph_cost(read_model(path)) for n, path in files.items()}
    for row in rows:
        same = {r["engine"]: r for r in rows
                if (r["threads"], r["batch"]) == (row["threads"], row["batch"])}  # fmt: skip
        for base in ("torch eager", "onnxruntime fp32"):
            row[f"x {base}"] = row["images_per_second"] / same[base]["images_per_second"]
        cost = costs.get(row["engine"])
        if cost is not None:
            row |= {"MACs": cost.macs, "parameters": cost.parameters, "bytes": cost.size}
    return rows


def precision(args: argparse.Namespace) -> Rows:
    """Flipped bits and MAP of every precision, by the whole parity gate."""
    rows = []
    for path, folder in ((args.checkpoint, "parity"), (args.ordinal, "parity-ordinal")):
        if path is None:
            continue
        checkpoint = load_checkpoint(path)
        names = ("fp32", "fp16", "int8", "int8-tensorrt")
        files = exported(path, args.work, args.data, names)
        data = load_labelled(args.data, checkpoint, pictures=args.pictures)
        command = _command("precision", args)
        verdicts = verify_all(
            list(files.values()), checkpoint, data, Budget(), args.out / folder, command
        )
        rows += [
            {
                "method": checkpoint.contract.method,
                "precision": name,
                "bytes": verdict.size,
                "flips per code": verdict.worst.parity.flips_per_code,
                "equal bits": 1 - verdict.worst.parity.flip_rate,
                "top-10 in common": verdict.top10,
                "MAP": verdict.map_after,
                "MAP, torch": verdict.map_before,
                "MAP, torch queries": verdict.map_mixed,
                "gate": "; ".join(verdict.objections) or "passes",
            }
            for name, verdict in zip(files, verdicts, strict=True)
        ]
    return rows


def cleanups(args: argparse.Namespace) -> Rows:
    """Graphs before and after what changes no bit."""
    trained = load_checkpoint(args.checkpoint)
    return measure_cleanups(trained, args.work / "cleanups", rounds=args.rounds)


def pipeline(args: argparse.Namespace) -> Rows:
    """Files to codes against decoding alone and inference alone."""
    model = exported(args.checkpoint, args.work, args.data)["fp32"]
    sets = {
        "data set": query_files(args.data, args.work / "queries", 320),
        "12 megapixels": large_photographs(args.work / "photographs", 16),
    }
    return [
        {"pictures": name} | measure_pipeline(model, files, threads=count)
        for name, files in sets.items()
        for count in _threads()
    ]


def start(args: argparse.Namespace) -> Rows:
    """Seconds to the first code, bytes on disk, memory by batch size, with [cpu] alone."""
    model = exported(args.checkpoint, args.work, args.data)["fp32"]
    picture = query_files(args.data, args.work / "queries", 1)[0]
    python = fresh_environment(args.work / "cpu")
    cores = max(_threads())
    on = f"on {cores} core{'s' * (cores > 1)}"
    rows: Rows = [
        {"what": f"seconds to the first code {on}, {name}", "value": value}
        for name, value in cold_start(python, model, picture, cores=cores).items()
    ]
    sizes = installed_bytes(python)
    rows.append({"what": "installed bytes of [cpu]", "value": sum(sizes.values())})
    rows += [{"what": f"of these {name}", "value": size} for name, size in sorted(sizes.items())]
    for batch, peak in peak_memory(python, model, cores=cores).items():
        rows.append({"what": f"peak bytes {on} at batch {batch}", "value": peak})
    return rows


def rivals(args: argparse.Namespace) -> Rows:
    """Codes beside float features and perceptual hashes."""
    checkpoint = load_checkpoint(args.checkpoint)
    data = load_labelled(args.data, checkpoint, pictures=args.pictures)
    model = exported(args.checkpoint, args.work, args.data)["fp32"]
    return measure_rivals(model, checkpoint, args.weights, data, rounds=args.rounds)


def paper(args: argparse.Namespace) -> Rows:
    """The paper's pair untrained: ms and bytes, and what makes it cheaper."""
    files = paper_variants(args.work)
    timed = measure_engines(
        {name: ("onnx", path) for name, path in files.items()},
        batches=(1,), threads=(1,), rounds=min(3, args.rounds),
    )  # fmt: skip
    rows = []
    for row in timed:
        cost = graph_cost(read_model(files[row["engine"]]))
        figures = {"network": row["engine"], "ms": 1e3 / row["images_per_second"]}
        costs = {"bytes": cost.size, "parameters": cost.parameters, "MACs": cost.macs}
        rows.append(figures | costs)
    return rows


SECTIONS: dict[str, Callable[[argparse.Namespace], Rows]] = {
    f.__name__: f for f in (engines, precision, cleanups, pipeline, start, rivals, paper)
}


def _threads() -> tuple[int, ...]:
    return tuple(sorted({1, min(2, available_cores())}))


def _settings(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """What a section's figures depend on: measured with others, it is measured anew."""
    settings = {"checkpoint": load_checkpoint(args.checkpoint).contract.fingerprint,
                "data": Path(args.data).name, "seed": 0,
                "rounds": args.rounds, "pictures": args.pictures}  # fmt: skip
    if name == "precision" and args.ordinal is not None:
        settings["ordinal"] = load_checkpoint(args.ordinal).contract.fingerprint
    if name == "rivals":
        settings["weights"] = Path(args.weights).name
    return settings


def _command(name: str, args: argparse.Namespace) -> str:
    """How to repeat a section; the settings name both checkpoints by their fingerprints."""
    parts = ["python bench/encode.py CKPT", f"--data {Path(args.data).name}"]
    if args.ordinal is not None:
        parts.append("--ordinal DOH_CKPT")
    if args.no_compile:
        parts.append("--no-compile")
    parts += [f"--weights {Path(args.weights).name}", f"--rounds {args.rounds}",
              f"--pictures {args.pictures}", f"--only {name}"]  # fmt: skip
    return " ".join(parts)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="encode.py", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="ckpt.pt of a light DSaH model")
    parser.add_argument("--data", required=True, help="pictures and labels, such as flowers17.zip")
    parser.add_argument("--ordinal", type=Path, help="ckpt.pt of a DOH model, for precision too")
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), help="these sections")
    parser.add_argument("--again", action="store_true", help="measure what is done already too")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    parser.add_argument("--work", type=Path, help="exported files; default encode-bench/ beside it")
    parser.add_argument("--weights", default="auto", help="ImageNet weights of the backbone")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (5)")
    parser.add_argument("--pictures", type=int, default=2000, help="most pictures for MAP (2000)")
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    args = parser().parse_args(argv)
    args.work = args.work or args.checkpoint.parent / "encode-bench"
    try:
        results = Results(args.out)
        print(machine())
        for name in args.only or SECTIONS:
            settings = _settings(name, args)
            if results.done(name, settings) and not args.again:
                print(f"{name}: done already (--again measures anew)")
                continue
            print(f"{name}: load {os.getloadavg()}; {settings}", flush=True)
            results.add(name, _command(name, args), settings, SECTIONS[name](args))
    except DsahError as error:
        print(f"encode: {error}", file=sys.stderr)
        return error.exit_code
    print(results.markdown())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
