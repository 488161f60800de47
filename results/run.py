"""Measure what the README claims: train, evaluate, and keep one JSON file per figure.

    python results/run.py --list                      # grids, their cells, what is done
    python results/run.py rivals --data FOLDER        # FOLDER holds data/flowers17.zip
    make results DATA_DIR=FOLDER                      # every grid

A cell that has its file is skipped (where its settings have changed since, that is said), and an
interrupted one resumes, so the command can be repeated until all is done. Every file
names command, settings, seeds, machine, versions and seconds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_infer.errors import CheckpointError  # noqa: E402
from dsah_train.backbones import load_weights  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from results import heads, training  # noqa: E402
from results.cells import Cell  # noqa: E402
from results.grids import GRIDS  # noqa: E402


def measure(cell: Cell, data: str, work: Path) -> dict[str, Any]:
    """The record of one cell.

    Raises:
        CheckpointError: There are no ImageNet weights, which all figures are about.
    """
    backbone = str(cell.settings.get("backbone", Config.backbone))
    if load_weights(backbone, "auto") is None:
        raise CheckpointError(
            f"no ImageNet weights for {backbone}: put {backbone}.pth into $DSAH_DATA/weights"
        )
    wanted = GRIDS[cell.grid].heads
    if wanted is not None:
        return heads.measure(cell, data, work, wanted)
    teacher = None
    if cell.teacher:
        grid, _, name = cell.teacher.partition("/")
        teacher = next(c for c in GRIDS[grid].cells if c.name == name)
    return training.measure(cell, data, work, teacher)


def main() -> None:
    """Run the chosen grids, skipping what is done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grids", nargs="*", metavar="GRID", help="default: all")
    parser.add_argument("--data", type=Path, help="folder of the archives that grids name")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="folder of the results")
    parser.add_argument("--list", action="store_true", help="show grids and cells, run nothing")
    parser.add_argument("--only", default="", help="this cell, or all that contain it")
    args = parser.parse_args()
    unknown = sorted(set(args.grids) - set(GRIDS))
    if unknown:
        parser.error(f"unknown grids {unknown}; known: {', '.join(GRIDS)}")
    failed = 0
    for name in args.grids or GRIDS:
        grid = GRIDS[name]
        where = "a GPU, never measured yet" if grid.gpu else "one core"
        print(f"# {name}: {grid.title} (about {grid.minutes} min on {where})")
        if grid.gpu and not args.list and not torch.cuda.is_available():
            print("  left out: this grid needs a CUDA device")
            continue
        exact = args.only in {cell.name for cell in grid.cells}
        for cell in grid.cells:
            chosen = cell.name == args.only if exact else args.only in cell.name
            out = args.out / name / f"{cell.name}.json"
            changed = grid.changed(cell, json.loads(out.read_text())) if out.exists() else []
            if args.list:
                print(f"  {'done' if out.exists() else '    '} {cell.name}")
            if changed:
                print(f"  {cell.name} was measured with other {', '.join(changed)}: delete {out}")
            if args.list or out.exists() or not chosen:
                continue
            data = grid.data
            if not data.startswith("embedded:"):
                if args.data is None:
                    parser.error(f"grid {name} needs --data, the folder that holds {data}")
                data = str((args.data / data).resolve())
            try:
                record = measure(cell, data, args.work)
            except CheckpointError as error:
                parser.error(str(error))
            except subprocess.CalledProcessError as error:
                failed += 1
                print(f"{cell.name} failed with exit code {error.returncode}", file=sys.stderr)
                continue
            out.parent.mkdir(parents=True, exist_ok=True)
            with replacing(out) as file:
                file.write((json.dumps(record, indent=1) + "\n").encode())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
