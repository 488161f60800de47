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
    lock file would have to be cleaned up. Where it cannot be locked (a file system without locks,
    a folder that may not be listed) nobody waits.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            with contextlib.suppress(OSError):
                # Files are written through links: the folder is that of the file itself.
                folder = os.open(Path(path).resolve().parent, os.O_RDONLY)
                stack.callback(os.close, folder)  # which unlocks it, as the process's end would
                fcntl.flock(folder, fcntl.LOCK_EX)
        yield
