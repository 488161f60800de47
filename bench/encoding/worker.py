"""One engine in one process: reads a batch size per line, answers with seconds per run.

A process of its own for each engine keeps thread pools and allocators apart; the caller takes
turns between them, so that a slow minute of the machine meets all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ENGINES = ("onnx", "eager", "channels_last", "compile")
#: One answer covers at least so many seconds, and at least one run.
SECONDS = 0.3
ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A running engine, pinned to its first ``threads`` of the caller's cores."""

    def __init__(self, engine: str, model: Path, threads: int) -> None:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.encoding.worker", engine, str(model), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def run(self, batch: int) -> float:
        """Least seconds of one run of ``batch`` pictures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(batch, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker {self._process.args} ended")
        return float(min(json.loads(answer)))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def load(engine: str, model: Path, threads: int) -> Callable[[np.ndarray], object]:
    """A function from uint8 (n, S, S, 3) to codes."""
    if engine == "onnx":
        from dsah_infer.onnx_file import read_model
        from dsah_infer.session import OnnxSession

        session = OnnxSession(read_model(model), "cpu", threads)
        return lambda images: session.run(["codes"], images)
    import torch

    from dsah_train.augment import normalise
    from dsah_train.checkpoint import load_checkpoint
    from dsah_train.encode import pack_activations

    torch.set_num_threads(threads)
    checkpoint = load_checkpoint(model)
    network = checkpoint.model
    layout = torch.contiguous_format if engine == "eager" else torch.channels_last
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    forward = torch.compile(network) if engine == "compile" else network

    def run(images: np.ndarray) -> object:
        with torch.inference_mode():
            x = normalise(torch.from_numpy(images)).contiguous(memory_format=layout)
            return pack_activations(forward(x).activations.numpy(), checkpoint.contract)

    return run


def main() -> None:
    """Answer until the input ends."""
    engine, model, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    run = load(engine, model, threads)
    size = _size(model)
    warm: set[int] = set()
    for line in sys.stdin:
        batch = int(line)
        shape = (batch, size, size, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        if batch not in warm:
            run(images)
            run(images)
            warm.add(batch)
        times: list[float] = []
        while sum(times) < SECONDS:
            start = time.perf_counter()
            run(images)
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def _size(model: Path) -> int:
    if model.suffix == ".onnx":
        from dsah_infer.onnx_file import read_model

        return read_model(model).contract.pixels.size
    from dsah_train.checkpoint import load_checkpoint

    return load_checkpoint(model).contract.pixels.size


if __name__ == "__main__":
    main()
