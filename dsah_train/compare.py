"""``python -m dsah_train compare RUN...``: evaluated runs side by side, with their spread."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsah_infer.errors import DataError, UsageError
from dsah_train.config import Config
from dsah_train.data.openset import are_named
from dsah_train.data.protocols import split_open_set
from dsah_train.measurement import FORMAT_VERSION
from dsah_train.metrics import (
    Curve,
    Evaluation,
    Interval,
    Spread,
    spread,
)
from dsah_train.pairing import paired_gain, split_of
from dsah_train.plots.curves import map_against_bits, precision_recall
from dsah_train.report import markdown_table, write_text

__all__ = ["Group", "Run", "add_arguments", "group_runs", "read_run", "run"]

# What differs between the runs of one group: they are repetitions of one experiment.
REPETITION = ("seed", "split_seed")


@dataclass(frozen=True)
class Run:
    """One ``evaluation.json``.

    Attributes:
        path: The file.
        artefact: What was evaluated.
        config: Settings of its training.
        data: What it was measured on.
        evaluation: The figures.
    """

    path: Path
    artefact: dict[str, Any]
    config: dict[str, Any]
    data: dict[str, Any]
    evaluation: Evaluation


@dataclass(frozen=True)
class Group:
    """Runs of one experiment at one code length, over seeds.

    Attributes:
        name: Method, and the settings in which it differs from other groups.
        bits: Bits of information per code.
        runs: The runs.
        map: MAP@all and its spread over the runs.
        gain: MAP@all minus that of the first name at the same bits, on the same queries of the
            same splits (seeds averaged for each query), with its bootstrap interval over
            pictures; None where there is no pair.
    """

    name: str
    bits: int
    runs: tuple[Run, ...]
    map: Spread
    gain: Interval | None = None


def read_run(path: Path) -> Run:
    """Read a run folder, an evaluation folder, or an ``evaluation.json``.

    Raises:
        DataError: Nothing was evaluated there, or the file is of something else or newer.
    """
    places = [path, path / "evaluation.json", path / "evaluation" / "evaluation.json"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise DataError(
            f"{path}: no evaluation.json; first run "
            f"python -m dsah_train evaluate {path}/ckpt.pt --data ..."
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["format_version"]
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise DataError(
                f"{file}: format version {version}, this dsah reads up to {FORMAT_VERSION}; "
                "upgrade dsah"
            )
        evaluation = Evaluation.from_dict(record["evaluation"])
        run = Run(file, record["artefact"], record["config"], record["data"], evaluation)
        if len(split_of(run).names or evaluation.average_precision) != evaluation.queries:
            raise ValueError(f"not one name for each of {evaluation.queries} queries")
        for name in ("file", "fingerprint", "method", "bits"):
            run.artefact[name]
        for name in ("name", "protocol", "split_seed", "note"):
            run.data[name]
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise DataError(f"{file}: not a record of an evaluation ({error!r})") from None
    return run


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs that repeat one experiment become one group; groups in order of first appearance.

    Raises:
        UsageError: The runs were measured on different data, or one is given twice.
    """
    measured = {(run.data["name"], _protocol(run)) for run in runs}
    if len(measured) > 1:
        found = "; ".join(f"{name} ({protocol})" for name, protocol in sorted(measured))
        raise UsageError(f"the runs were measured on different data, which cannot compare: {found}")
    keys = [
        (run.artefact["file"], run.artefact["fingerprint"], run.data["split_seed"]) for run in runs
    ]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise UsageError(
                f"{runs[i].path} and {runs[keys.index(key)].path} are the same model on the same "
                "split; give each run once"
            )
    names = _names(runs)
    groups: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for name, run in zip(names, runs, strict=True):
        groups[name, run.artefact["bits"]].append(run)
    for members in groups.values():
        _warn_of_equal_seeds(members)
    result = []
    for (name, bits), members in groups.items():
        first = next(other for other, b in groups if b == bits)
        gain = None if name == first else paired_gain(members, groups[first, bits])
        maps = spread([run.evaluation.map for run in members])
        result.append(Group(name, bits, tuple(members), maps, gain))
    return result


def _warn_of_equal_seeds(members: Sequence[Run]) -> None:
    """Models of one group with the same seeds differ by something that nobody recorded."""
    known: dict[tuple[int, int], Run] = {}
    for run in members:
        if not run.config:
            continue
        other = known.setdefault((run.config.get("seed", 0), run.data["split_seed"]), run)
        if other.artefact["fingerprint"] != run.artefact["fingerprint"]:
            warnings.warn(
                f"{other.path} and {run.path} have the same settings and seeds and are different "
                "models (another machine, time budget or version?): the spread of this group is "
                "not one over seeds",
                stacklevel=2,
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folders, the base first"
    )
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder of the report")


def run(args: argparse.Namespace) -> int:
    """Print the table, write ``compare.json``, ``compare.md`` and its plots."""
    groups = group_runs([read_run(path) for path in args.runs])
    table = _table(groups)
    print(table)
    data = groups[0].runs[0].data
    if data["note"]:
        print(f"note: {data['note']}")
    args.out.mkdir(parents=True, exist_ok=True)
    series: dict[str, dict[int, Sequence[float]]] = defaultdict(dict)
    for group in groups:
        series[group.name][group.bits] = group.map.values
    map_against_bits(series, args.out / "map_against_bits.png")
    precision_recall(
        {f"{g.name}, {g.bits} bits": _mean_curve(g.runs) for g in groups},
        args.out / "pr_curves.png",
    )
    record = [
        {
            "name": g.name,
            "bits": g.bits,
            "runs": [str(r.path) for r in g.runs],
            "map": dataclasses.asdict(g.map),
            "gain": None if g.gain is None else dataclasses.asdict(g.gain),
        }
        for g in groups
    ]
    write_text(args.out / "compare.json", json.dumps(record, indent=1) + "\n")
    note = f"\n\n**Note:** {data['note']}" if data["note"] else ""
    text = (
        f"# Comparison on {data['name']} ({data['protocol']})\n\n{table}{note}\n\n{LEGEND}\n\n"
        "![MAP against code length](map_against_bits.png)\n\n"
        "![Precision and recall](pr_curves.png)\n"
    )
    print(f"written: {write_text(args.out / 'compare.md', text)}")
    return 0


LEGEND = (
    "MAP@all in the order (distance, id). Interval: over seeds (Student t) where there are "
    "several runs, else over queries (bootstrap). Gain: over the first line of the same bits, on "
    "the same queries of the same splits, with its paired bootstrap interval, for which a picture "
    "that asks in several splits is drawn as one; it does not cover other trainings. No gain: no "
    "queries in common, or evaluated by versions of which one did not keep their names."
)


def _protocol(run: Run) -> str:
    """The protocol without what the split seed draws: runs of several seeds are comparable."""
    protocol = re.sub(r"\bseed=\d+", "seed", str(run.data["protocol"]))  # of the embedded set
    held, _ = split_open_set(run.config.get("protocol"))
    if held is not None and not are_named(held):
        protocol = f"open-set:{held or 'drawn'}@{protocol.rpartition('@')[2]}"
    return protocol


def _names(runs: Sequence[Run]) -> list[str]:
    """The method, and the settings and start weights in which the runs of that method differ."""
    names = []
    # A run of an older version lacks settings that came later: it had what is their default.
    known = {item.name: item.default for item in dataclasses.fields(Config)}
    configs = [
        (known | run.config if run.config else {}) | {"start_weights": _start(run)} for run in runs
    ]
    for run, own in zip(runs, configs, strict=True):
        method = run.artefact["method"]
        alike = [
            config
            for other, config in zip(runs, configs, strict=True)
            if other.artefact["method"] == method
        ]
        differing = [
            f"{key}={own.get(key)}"
            for key in sorted({key for config in alike for key in config})
            if key not in (*REPETITION, "bits")
            and len({json.dumps(config[key]) for config in alike if _known(config, key)}) > 1
        ]
        precision = run.artefact.get("precision", "fp32")
        graph = [f"exported {precision}"] if str(run.artefact["file"]).endswith(".onnx") else []
        names.append(" ".join([method, *differing, *graph]))
    return names


def _known(config: Mapping[str, Any], key: str) -> bool:
    """Whether a run says so: a version that did not keep start weights is taken to agree."""
    return key in config and (key != "start_weights" or bool(config[key]))


def _start(run: Run) -> str:
    """Short form of what a run started from."""
    return str(run.artefact.get("start_weights", ""))[:12]


def _mean_curve(runs: Sequence[Run]) -> Curve:
    """Mean over runs where they share their ranks, else the first run's curve."""
    curves = [run.evaluation.by_rank for run in runs]
    if any(curve.at != curves[0].at for curve in curves):
        return curves[0]
    precision = np.mean([curve.precision for curve in curves], axis=0)
    recall = np.mean([curve.recall for curve in curves], axis=0)
    return Curve(curves[0].at, tuple(precision.tolist()), tuple(recall.tolist()))


def _table(groups: Sequence[Group]) -> str:
    header = ("model", "bits", "runs", "MAP@all", "interval", "over ties", "P@radius 2", "gain")
    rows = []
    for g in groups:
        e = [r.evaluation for r in g.runs]
        low, high = (
            (e[0].map_interval.low, e[0].map_interval.high)
            if g.map.low is None or g.map.high is None
            else (g.map.low, g.map.high)
        )
        worst, best = np.mean([(x.map_worst, x.map_best) for x in e], axis=0)
        rows.append(
            (
                g.name,
                str(g.bits),
                str(len(g.runs)),
                f"{g.map.mean:.4f}" + (f" ± {g.map.std:.4f}" if g.map.std is not None else ""),
                f"{low:.4f} to {high:.4f}",
                f"{worst:.4f} to {best:.4f}",
                f"{np.mean([x.precision_radius2 for x in e]):.4f}",
                ""
                if g.gain is None
                else f"{g.gain.mean:+.4f} ({g.gain.low:+.4f} to {g.gain.high:+.4f})",
            )
        )
    return markdown_table(header, rows)
