"""What it takes to begin: seconds to the first code, bytes on disk, memory by batch size."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

from bench.encoding.pinned import pinned

__all__ = ["cold_start", "fresh_environment", "installed_bytes", "peak_memory"]

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("csrc", "dsah_infer", "dsah_train", "pyproject.toml", "setup.py", "README.md",
            "LICENSE", "NOTICE")  # fmt: skip
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


#: Sizes by distribution as installed, compiled Python files included; pip is not there.
_SIZES = """
import importlib.metadata, json
sizes = {}
for found in importlib.metadata.distributions():
    paths = [found.locate_file(file) for file in found.files or ()]
    sizes[found.name.lower()] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""


def fresh_environment(folder: Path) -> Path:
    """The Python of an environment that holds dsah with [cpu], made where there is none.

    dsah is built from this checkout, which takes a compiler and a minute or two; the versions of
    the rest are those of constraints.txt.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        wheels, source = (folder.with_name(f"{folder.name}-{k}") for k in ("wheel", "source"))
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(ROOT, source, ignore=_not_source)  # builds leave files where they run
        subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels),
                        str(source)], check=True)  # fmt: skip
        wheel = max(wheels.glob("dsah-*.whl"), key=lambda path: path.stat().st_mtime)
        venv.create(folder, with_pip=False)
        subprocess.run([*pip, "--python", str(python), "install", "-c",
                        str(ROOT / "constraints.txt"), f"{wheel}[cpu]"], check=True)  # fmt: skip
    return python


def _not_source(folder: str, names: list[str]) -> list[str]:
    """All but what a wheel is made from."""
    if Path(folder) == ROOT:
        return [name for name in names if name not in _SOURCES]
    return [name for name in names if name == "__pycache__" or name.endswith(".so")]


def _output(python: Path, code: str, *arguments: object) -> str:
    """What a script prints in the environment, without this checkout on its path."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(python), "-I", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=settings)
    return done.stdout


def cold_start(
    python: Path, model: Path, picture: Path, *, cores: int, rounds: int = 5
) -> dict[str, float]:
    """Seconds from starting Python to the first code, files in the page cache."""
    times = []
    with pinned(cores):
        for _ in range(rounds + 1):
            start = time.perf_counter()
            _output(python, _FIRST, model, picture)
            times.append(time.perf_counter() - start)
    return {"median": statistics.median(times[1:]), "best": min(times[1:])}


def peak_memory(
    python: Path, model: Path, *, cores: int, batches: tuple[int, ...] = (1, 8, 32)
) -> dict[str, int]:
    """Largest resident bytes of a process that encodes two batches, by batch size.

    Read from the process's own VmHWM: getrusage counts the parent's pages at the fork too.
    """
    with pinned(cores):
        return {str(batch): int(_output(python, _PEAK, model, batch)) for batch in batches}


def installed_bytes(python: Path) -> dict[str, int]:
    """Bytes of what ``pip install '.[cpu]'`` brings, by distribution; Python is not counted."""
    sizes: dict[str, int] = json.loads(_output(python, _SIZES))
    return sizes
