"""What one picture costs each encoder of a code space: parameters, MACs, milliseconds.

    python results/cost.py                 # after the grid `student`; wants a quiet core

Exports the teachers' and the students' checkpoints as a user would, and runs `export/cost.py` on
the files (onnxruntime, one thread, one picture at a time). Writes results/cost/student.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dsah_infer.atomic_file import replacing  # noqa: E402
from results.grids.student import GRID, TEACHERS  # noqa: E402
from results.provenance import commit, machine  # noqa: E402


def main() -> None:
    """Export, count, time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    args = parser.parse_args()
    runs = [*TEACHERS, *(f"{cell.grid}/{cell.name}" for cell in GRID.cells)]
    runs = [run for run in runs if (args.work / run / "ckpt.pt").exists()]
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(folder) / f"{run.replace('/', '-')}.onnx" for run in runs]
        for run, model in zip(runs, models, strict=True):
            _python("export/to_onnx.py", args.work / run / "ckpt.pt", "-o", model)
        costs = json.loads(_python("export/cost.py", *models, "--json"))
    record = {
        "command": "python results/cost.py",
        "threads": 1,
        "batch": 1,
        "cost": {
            run: {name: value for name, value in cost.items() if name != "file"}
            for run, cost in zip(runs, costs, strict=True)
        },
        "commit": commit(),
        "machine": machine(),
    }
    out = args.out / "cost" / "student.json"
    out.parent.mkdir(exist_ok=True)
    with replacing(out) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def _python(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
