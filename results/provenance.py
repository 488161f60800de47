"""Where a figure comes from: machine, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["METRIC", "ROOT", "commit", "machine"]

ROOT = Path(__file__).resolve().parent.parent
#: What ``map`` means in every file.
METRIC = (
    "MAP@all, order (distance, id) with ids of dsah_train.metrics.ranking.numbering; map_expected: "
    "expected over all orders of equal distances; a query without a relevant item counts 0"
)


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
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def commit() -> str:
    """The commit of the code that measures; ``-dirty`` where code differs from it.

    Result files do not count: a figure that is measured again has its file removed first.
    """
    head = ["git", "rev-parse", "--short=12", "HEAD"]
    changed = ["git", "diff", "--quiet", "HEAD", "--", ".", ":!results/*.json", ":!*.md"]
    name = subprocess.run(head, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = subprocess.run(changed, cwd=ROOT, capture_output=True).returncode == 1
    return f"{name}-dirty" if dirty else name
