"""How fast a session encodes, decoding left out."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from dsah_infer.session import Session

__all__ = ["Benchmark", "time_inference"]

WARM_UP = 2


@dataclass(frozen=True)
class Benchmark:
    """Times of inference alone.

    Attributes:
        provider: Execution provider of the session.
        threads: Threads of one run.
        batch_size: Pictures of one run.
        runs: Timed runs.
        milliseconds: Median time of one run, in ms.
        images_per_second: ``batch_size`` over that time.
    """

    provider: str
    threads: int
    batch_size: int
    runs: int
    milliseconds: float
    images_per_second: float


def time_inference(session: Session, threads: int, batch_size: int, seconds: float) -> Benchmark:
    """Run noise pictures for about ``seconds`` (at least one run), after two warm-up runs."""
    size = session.contract.pixels.size
    shape = (batch_size, size, size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for _ in range(WARM_UP):
        session.run(["codes"], images)
    times: list[float] = []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        session.run(["codes"], images)
        times.append(time.perf_counter() - start)
    median = statistics.median(times)
    return Benchmark(
        session.provider, threads, batch_size, len(times), median * 1e3, batch_size / median
    )
