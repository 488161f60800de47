"""One process at a time reads, changes and rewrites a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out there
    fcntl = None  # type: ignore[assignment]

__all__ = ["sole_writer"]


@contextlib.contextmanager
def sole_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """Wait until no other process is inside this block for a file of the same folder.

    The folder is locked, not the file: saving puts a new file in the place of the old one, and a
    lock file would have to be cleaned up. Where the file system knows no locks nobody waits.
    """
    if fcntl is None:
        yield
        return
    folder = os.open(Path(path).absolute().parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # which unlocks it, as the end of the process would
