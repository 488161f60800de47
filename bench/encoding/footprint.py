"""What it takes to begin: seconds to the first code, bytes on disk, memory by batch size."""

from __future__ import annotations

import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["cold_start", "installed_bytes", "peak_memory"]

ROOT = Path(__file__).resolve().parents[2]
_FIRST = "from dsah_infer import Encoder; import sys; Encoder(sys.argv[1]).encode(sys.argv[2])"
_PEAK = """
import pathlib, sys, numpy as np
from dsah_infer import Encoder
encoder = Encoder(sys.argv[1], device="cpu", batch_size=int(sys.argv[2]))
size = encoder.contract.pixels.size
encoder.encode(np.zeros((2 * int(sys.argv[2]), size, size, 3), np.uint8))
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def cold_start(model: Path, picture: Path, *, rounds: int = 5) -> dict[str, float]:
    """Seconds from starting Python to the first code, files in the page cache."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _FIRST, str(model), str(picture)], check=True,
                       env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
        times.append(time.perf_counter() - start)
    return {"median": statistics.median(times[1:]), "best": min(times[1:])}


def peak_memory(model: Path, batches: tuple[int, ...] = (1, 8, 32)) -> dict[str, int]:
    """Largest resident bytes of a process that encodes two batches, by batch size.

    Read from the process's own VmHWM: getrusage counts the parent's pages at the fork too.
    """
    found = {}
    for batch in batches:
        done = subprocess.run([sys.executable, "-c", _PEAK, str(model), str(batch)], check=True,
                              capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
        found[str(batch)] = int(done.stdout)
    return found


def installed_bytes() -> dict[str, int]:
    """Bytes of what ``pip install 'dsah[cpu]'`` brings, by distribution, of the versions here.

    Python and pip are not counted; dsah itself is counted from its packages' folders.
    """
    sizes: dict[str, int] = {}
    todo = ["numpy", "pillow", "tqdm", "onnxruntime"]
    while todo:
        name = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in sizes:
            continue
        found = importlib.metadata.distribution(name)
        paths = [Path(str(found.locate_file(f))) for f in found.files or ()]
        sizes[key] = sum(p.stat().st_size for p in paths if p.is_file() and p.suffix != ".pyc")
        for need in found.requires or ():
            if ";" not in need:
                todo.append(re.split(r"[^\w.-]", need)[0])
    own = [p for package in ("dsah_infer", "dsah_train") for p in (ROOT / package).rglob("*")]
    sizes["dsah"] = sum(p.stat().st_size for p in own if p.is_file() and p.suffix != ".pyc")
    return sizes
