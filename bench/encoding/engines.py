"""Images per second of one network under several engines, taking turns."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench.encoding.worker import Worker

__all__ = ["measure_engines"]


def measure_engines(
    engines: dict[str, tuple[str, Path]],
    *,
    batches: tuple[int, ...] = (1, 8),
    threads: tuple[int, ...] = (1, 2),
    rounds: int = 5,
) -> list[dict[str, Any]]:
    """Time every engine at every batch size and thread count.

    Args:
        engines: Label -> (engine of `worker`, its file).
        batches: Pictures per run.
        threads: Threads, each on a core of its own.
        rounds: Turns; each engine answers once per turn.

    Returns:
        One record per engine, batch and thread count: ``images_per_second`` of the best turn,
        ``median`` and ``worst`` of all turns.
    """
    records = []
    for count in threads:
        workers = {label: Worker(engine, path, count) for label, (engine, path) in engines.items()}
        try:
            for batch in batches:
                times: dict[str, list[float]] = {label: [] for label in workers}
                for worker in workers.values():  # warm up, compile
                    worker.run(batch)
                for _ in tqdm(range(rounds), f"{count} threads, batch {batch}", leave=False):
                    for label, worker in workers.items():
                        times[label].append(worker.run(batch))
                records += [
                    {
                        "engine": label,
                        "threads": count,
                        "batch": batch,
                        "images_per_second": batch / min(seconds),
                        "median": batch / statistics.median(seconds),
                        "worst": batch / max(seconds),
                    }
                    for label, seconds in times.items()
                ]
        finally:
            for worker in workers.values():
                worker.close()
    return records
