"""Cores for one row of a table: as many as it has threads, the same ones for every rival."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["pinned"]


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Hold this thread to the first ``threads`` of its cores, and give them all back at the end.

    Threads and processes started inside stay there too; open sessions and pools inside.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
