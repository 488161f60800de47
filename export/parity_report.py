"""The parity gate's result as JSON, Markdown and one plot."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsah_infer.doctor import examine
from dsah_train.checkpoint import Checkpoint
from dsah_train.encode import Codes
from dsah_train.plots.style import COLOURS, INK, WRONG, axes, save
from dsah_train.report import markdown_table, write_text
from export.gate import Budget
from export.labelled import Labelled
from export.margin_histogram import MarginHistogram, margin_histogram

if TYPE_CHECKING:
    from export.verify import Run, Verdict

__all__ = ["write_report"]

FORMAT_VERSION = 1


def write_report(
    out: Path,
    checkpoint: Checkpoint,
    data: Labelled,
    ours: Codes,
    verdicts: list[Verdict],
    budget: Budget,
    command: str,
) -> Path:
    """Write ``parity.json``, ``margins.png`` and ``parity.md`` into ``out``; returns the last."""
    out.mkdir(parents=True, exist_ok=True)
    sections = examine().sections
    histogram = margin_histogram(ours, [v.codes for v in verdicts], checkpoint.contract)
    record = {
        "format_version": FORMAT_VERSION,
        "command": command,
        "checkpoint": checkpoint.contract.fingerprint,
        "space": checkpoint.contract.space,
        "data": data.summary,
        "map": verdicts[0].map_before,
        "max_map_drop": budget.max_map_drop,
        "machine": {name: sections[name] for name in ("software", "processor")},
        "load": os.getloadavg(),
        "margins": histogram.record(),
        "files": [_record(verdict, budget) for verdict in verdicts],
        "passed": not any(verdict.objections for verdict in verdicts),
    }
    write_text(out / "parity.json", json.dumps(record, indent=1) + "\n")
    _plot(out / "margins.png", histogram, [verdict.file for verdict in verdicts])
    return write_text(out / "parity.md", _markdown(record, verdicts, histogram))


def _record(verdict: Verdict, budget: Budget) -> dict[str, Any]:
    skipped = ("codes", "runs")
    record = {
        f.name: getattr(verdict, f.name)
        for f in dataclasses.fields(verdict)
        if f.name not in skipped
    }
    record["max_flip_rate"] = budget.flip_rate(verdict.precision)
    record["runs"] = [_run_record(run) for run in verdict.runs]
    return record


def _run_record(run: Run) -> dict[str, Any]:
    return dataclasses.asdict(run) | {"flip_rate": run.parity.flip_rate}


def _markdown(record: dict[str, Any], verdicts: list[Verdict], histogram: MarginHistogram) -> str:
    files = [
        (
            f"`{v.file}`",
            v.precision,
            f"{v.size / 1e6:.2f} MB",
            f"{1 - v.worst.parity.flip_rate:.4%}",
            f"{v.worst.parity.flips_per_code:.4f}",
            f"{v.worst.parity.largest_flip:.2g}",
            f"{v.top10:.4f}",
            f"{v.map_after:.4f} ({v.map_after - record['map']:+.4f})",
            f"{v.map_mixed:.4f}",
            "; ".join(v.objections) or "passes",
        )
        for v in verdicts
    ]
    runs = [
        (
            f"`{v.file}`",
            run.device,
            str(run.threads),
            str(run.batch),
            f"{run.parity.flipped_bits}",
            f"{run.parity.activation_gap:.2g}",
            f"{run.pictures_per_second:.1f}",
        )
        for v in verdicts
        for run in v.runs
    ]
    machine = record["machine"]["processor"]
    described = ", ".join(f"{name}: {fact}" for name, fact in machine.items())
    header = ("file", "precision", "size", "equal bits", "flips per code", "largest margin flipped",
              "top-10 in common", "MAP@all", "MAP, torch queries", "gate")  # fmt: skip
    parts = [
        f"# Parity in bits with checkpoint `{record['checkpoint']}`",
        f"`{record['command']}`",
        f"{record['data']}. MAP@all of torch: {record['map']:.4f}. Each figure is of the run with "
        "the most flips.",
        markdown_table(header, files),
        "## Margins",
        "![Margins](margins.png)",
        f"Symbols by their margin ({histogram.meaning}) in torch, and how many of them flip:",
        markdown_table(("margin", "all", *(f"`{v.file}`" for v in verdicts)), histogram.rows()),
        "## Every run",
        markdown_table(
            ("file", "device", "threads", "batch", "flipped bits", "activation gap", "pictures/s"),
            runs,
        ),
        f"Speed on the machine as it was (load {', '.join(f'{x:.1f}' for x in record['load'])}; "
        f"{described}); `bench/encode.py` measures it with care.",
    ]
    return "\n\n".join(parts) + "\n"


def _plot(path: Path, histogram: MarginHistogram, names: list[str]) -> None:
    """Margins of all symbols, and of those that flipped, per file."""
    figure, cells = axes(len(names), height=0.8 + 2.2 * len(names))
    edges, left = histogram.edges, histogram.edges[:-1]
    for cell, name, flipped in zip(cells, names, histogram.flipped, strict=True):
        cell.hist(left, edges, weights=histogram.all, color=COLOURS[0], alpha=0.45, label="all")
        cell.hist(left, edges, weights=flipped, color=WRONG, label="flipped")
        cell.set(xscale="log", yscale="symlog", xlabel=f"margin: {histogram.meaning}",
                 ylabel="symbols")  # fmt: skip
        cell.set_title(f"{name}: {sum(flipped)} of {sum(histogram.all)} symbols flip",
                       loc="left", color=INK, fontsize=10)  # fmt: skip
        cell.legend(frameon=False, fontsize=9)
    save(figure, path)
