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

from rank_measure import SEED  # noqa: E402
from rank_sections import SECTIONS, Rows  # noqa: E402

from dsah_infer._core import available_cores, available_isas  # noqa: E402


def machine() -> dict[str, Any]:
    """Everything a reader needs to judge the figures."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cpu": cpu[0].split(":")[1].strip() if cpu else platform.processor(),
        "cores": available_cores(),
        "isas": available_isas(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "faiss-cpu", "usearch", "dsah")},
        "commit": commit.stdout.strip(),
        "load average": [round(x, 2) for x in os.getloadavg()],
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "seed": SEED,
    }


def verdict(row: dict[str, Any]) -> str:
    """Whether a row holds its floor or ceiling; empty if it has none."""
    value = row.get(
        "of_64_bit_rate", row.get("times_64_random", row.get("ratio", row.get("value")))
    )
    if row.get("floor") is not None:
        return "yes" if value >= row["floor"] else "NO"
    if "at_most" in row:
        return "yes" if value <= row["at_most"] * 1.05 else "NO"
    return ""


def show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def table(rows: Rows) -> str:
    """Rows as Markdown, with a last column that says whether the floor holds."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    judged = any(verdict(row) for row in rows)
    lines = ["| " + " | ".join([*columns, *(["holds"] if judged else [])]) + " |"]
    lines.append("|" + "---|" * (len(columns) + judged))
    for row in rows:
        cells = [show(row[c]) if row.get(c) is not None else "" for c in columns]
        lines.append("| " + " | ".join([*cells, *([verdict(row)] if judged else [])]) + " |")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Cost against size, and recall against cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = results.get("slope", {}).get("rows", [])
    for who, name in (("ours", "HammingIndex"), ("faiss", "FAISS IndexBinaryFlat")):
        left.loglog([r["codes"] for r in rows], [r[f"{who}_us"] for r in rows], "o-", label=name)
    left.set(xlabel="random 64-bit codes", ylabel="µs per query, top-10, one thread")
    rows = results.get("recall", {}).get("rows", [])
    for name, n in dict.fromkeys((r["index"], r["codes"]) for r in rows):
        some = [r for r in rows if (r["index"], r["codes"]) == (name, n)]
        style = "*" if name == "HammingIndex" else "o-"
        right.semilogx(
            [r["us"] for r in some], [r["recall"] for r in some], style, label=f"{name}, {n:,}"
        )
    right.set(xlabel="µs per query, top-100, one thread", ylabel="recall (learned-like codes)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


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
    parts = [f"# The ranker against FAISS and USearch\n\nMeasured by `{command}`."]
    for name, result in results.items():
        parts.append(f"## {name}\n\n{SECTIONS[name].__doc__}\n\n{table(result['rows'])}\n")
        facts = ", ".join(f"{key}: {value}" for key, value in result["machine"].items())
        parts.append(f"<sub>{facts}; {result['seconds']:.0f} s</sub>")
    target.with_suffix(".md").write_text("\n\n".join(parts) + "\n")
    target.with_suffix(".json").write_text(json.dumps(results, indent=1))
    plot(results, target.with_suffix(".png"))
    if arguments.quick:
        print("\nfloors are for full sizes: those of a quick run say nothing")
        return 0
    missed = [f"{n}: {r}" for n, x in results.items() for r in x["rows"] if verdict(r) == "NO"]
    print("\nfloors missed:", *(missed or ["none"]), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
