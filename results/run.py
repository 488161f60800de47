"""Measure what the README claims: train, evaluate, and keep one JSON file per figure.

    python results/run.py --list                      # grids, their cells, what is done
    python results/run.py flowers17 --data flowers17.zip
    make results DATA_DIR=folder                      # every grid; DATA_DIR holds the archives

A cell that has its file is skipped and an interrupted one resumes, so the command can be repeated
until all is done. Every file names command, settings, seeds, machine, versions and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_infer.describe import describe  # noqa: E402
from results.grids import GRIDS, Cell  # noqa: E402


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ("dsah", "torch", "torchvision", "numpy", "pillow", "onnxruntime")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def commit() -> str:
    """The commit of the code that measured."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def measure(cell: Cell, data: str, work: Path, out: Path) -> None:
    """Train and evaluate one cell, then write its result file."""
    run = work / cell.name
    trainer = [sys.executable, "-m", "dsah_train"]
    fit = ["fit", "--data", data, *cell.flags(), "--out", str(run), "--quiet"]
    evaluate = ["evaluate", str(run / "ckpt.pt"), "--data", data, "--no-pictures"]
    began = time.monotonic()
    for command in (fit, evaluate):
        print("$ python -m dsah_train " + " ".join(command), flush=True)
        subprocess.run([*trainer, *command], check=True, cwd=ROOT)
    result = {
        "grid": cell.grid,
        "cell": cell.name,
        "note": cell.note,
        "commands": [
            "python -m dsah_train "
            + " ".join(c).replace(data, Path(data).name).replace(f"{ROOT}/", "")
            for c in (fit, evaluate)
        ],
        "settings": json.loads((run / "config.json").read_text()),
        "measurement": json.loads((run / "evaluation" / "evaluation.json").read_text()),
        "training": describe(run / "ckpt.pt")["metrics"],
        "seconds": round(time.monotonic() - began, 1),
        "load_before": os.getloadavg()[0],
        "commit": commit(),
        "machine": machine(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


def main() -> None:
    """Run the chosen grids, skipping what is done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grids", nargs="*", metavar="GRID", help="default: all")
    parser.add_argument("--data", type=Path, help="folder of the archives that grids name")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "results")
    parser.add_argument("--list", action="store_true", help="show grids and cells, run nothing")
    parser.add_argument("--only", default="", help="cells whose name contains this")
    args = parser.parse_args()
    unknown = sorted(set(args.grids) - set(GRIDS))
    if unknown:
        parser.error(f"unknown grids {unknown}; known: {', '.join(GRIDS)}")
    failed = 0
    for name in args.grids or GRIDS:
        grid = GRIDS[name]
        print(f"# {name}: {grid.title} (about {grid.minutes} min on 2 cores)")
        for cell in grid.cells:
            out = ROOT / "results" / name / f"{cell.name}.json"
            if args.list:
                print(f"  {'done' if out.exists() else '    '} {cell.name}")
            if args.list or out.exists() or args.only not in cell.name:
                continue
            data = grid.data
            if not data.startswith("embedded:"):
                if args.data is None:
                    parser.error(f"grid {name} needs --data, the folder that holds {data}")
                data = str((args.data / data).resolve())
            try:
                measure(cell, data, args.work / name, out)
            except subprocess.CalledProcessError as error:
                failed += 1
                print(f"{cell.name} failed with exit code {error.returncode}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
