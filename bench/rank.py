"""Is HammingIndex faster than FAISS and USearch, and by how much? Same codes, same process.

    python bench/rank.py [--quick] [--section NAME ...] [--fresh]

Each section's rows are kept in bench/results/rank/NAME.json as soon as it ends, so a run that was
cut short goes on where it stopped; --fresh measures again. The report is bench/results/rank.md,
rank.json and rank.png. --quick takes a fiftieth of the codes, to see that everything works, and
writes to bench/results/rank-quick instead.
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

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from ranking.codes import SEED  # noqa: E402
from ranking.report import missed, plot, report, table  # noqa: E402
from ranking.sections import SECTIONS  # noqa: E402

from dsah_infer._core import available_cores, available_isas  # noqa: E402


def machine() -> dict[str, Any]:
    """Everything a reader needs to judge the figures."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    # The result files that this very run has rewritten do not make the code another.
    code = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results"]
    commit, changed = (
        subprocess.run(c, cwd=HERE.parent, capture_output=True, text=True, check=False).stdout
        for c in (["git", "rev-parse", "--short", "HEAD"], code)
    )
    return {
        "cpu": cpu[0].split(":")[1].strip() if cpu else platform.processor(),
        "cores": available_cores(),
        "isas": available_isas(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "faiss-cpu", "usearch", "dsah")},
        "commit": commit.strip() + ("-dirty" if changed else ""),
        "load average": [round(x, 2) for x in os.getloadavg()],
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "seed": SEED,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the codes")
    parser.add_argument("--section", nargs="*", choices=list(SECTIONS), help="only these")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    arguments = parser.parse_args()
    target = HERE / "results" / ("rank-quick" if arguments.quick else "rank")
    target.mkdir(parents=True, exist_ok=True)
    for name in arguments.section or SECTIONS:
        path = target / f"{name}.json"
        if path.exists() and not arguments.fresh:
            continue
        start, before = time.perf_counter(), machine()
        rows = SECTIONS[name](0.02 if arguments.quick else 1.0)
        spent = time.perf_counter() - start
        path.write_text(json.dumps({"machine": before, "seconds": spent, "rows": rows}, indent=1))
        print(f"\n## {name} ({spent:.0f} s)\n\n{table(rows)}", flush=True)
    results = {n: json.loads((target / f"{n}.json").read_text())
               for n in SECTIONS if (target / f"{n}.json").exists()}  # fmt: skip
    command = "python bench/rank.py" + (" --quick" if arguments.quick else "")
    target.with_suffix(".md").write_text(report(results, command))
    target.with_suffix(".json").write_text(json.dumps(results, indent=1))
    plot(results, target.with_suffix(".png"))
    if arguments.quick:
        print("\nfloors are for full sizes: those of a quick run say nothing")
        return 0
    print("\nfloors missed:", *(missed(results) or ["none"]), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
