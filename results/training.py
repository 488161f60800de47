"""Train and evaluate one cell by the commands that a user would type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dsah_infer.describe import describe
from results.cells import Cell
from results.provenance import METRIC, ROOT, commit, machine

__all__ = ["measure"]


def measure(cell: Cell, data: str, work: Path, teacher: Cell | None) -> dict[str, Any]:
    """Train and evaluate; an interrupted training resumes.

    Args:
        cell: What to train.
        data: Archive or ``embedded:`` specification.
        work: Folder of the run folders.
        teacher: The cell that `Cell.teacher` names; trained first if it has no checkpoint here.

    Returns:
        The record that is kept.
    """
    run = work / cell.grid / cell.name
    evaluate = ["evaluate", f"{run}/ckpt.pt", "--data", data, "--no-pictures"]
    evaluate += ["--on-error", "raise"]  # a figure is of all the pictures
    commands = [_fit(cell, data, run, teacher and work / teacher.grid / teacher.name), evaluate]
    if teacher is not None:
        taught = work / teacher.grid / teacher.name
        evaluate += ["--gallery-model", f"{taught}/ckpt.pt"]
        commands.insert(0, _fit(teacher, data, taught, None))  # returns at once where it is done
    began, made_by = time.monotonic(), commit()  # a long training may outlive its commit
    for command in commands:
        print("$ python -m dsah_train " + " ".join(command), flush=True)
        subprocess.run([sys.executable, "-m", "dsah_train", *command], check=True, cwd=ROOT)
    measurement = json.loads((run / "evaluation" / "evaluation.json").read_text())
    del measurement["config"]  # the same as settings
    return {
        "grid": cell.grid,
        "cell": cell.name,
        "note": cell.note,
        "commands": [
            "python -m dsah_train " + _shortened(" ".join(c), data, work) for c in commands
        ],
        "metric": METRIC,
        "settings": json.loads(_shortened((run / "config.json").read_text(), data, work)),
        "measurement": measurement,
        "training": describe(run / "ckpt.pt")["metrics"],
        "seconds": round(time.monotonic() - began, 1),
        "load_before": os.getloadavg()[0],
        "commit": made_by,
        "machine": machine(),
    }


def _fit(cell: Cell, data: str, run: Path, teacher: Path | None) -> list[str]:
    taught = [] if teacher is None else ["--teacher", f"{teacher}/ckpt.pt"]
    return ["fit", "--data", data, *cell.flags(), *taught, "--out", str(run), "--quiet"]


def _shortened(text: str, data: str, work: Path) -> str:
    """Paths as a reader of the repository would give them."""
    return text.replace(data, Path(data).name).replace(f"{work}/", "runs/results/")
