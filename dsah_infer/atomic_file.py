"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file that becomes ``path`` when the block ends well, and vanishes when it fails.

    Written beside ``path``, flushed to disk, then renamed over it: whoever opens ``path`` finds
    the old content or the new one, also after a crash.

    Raises:
        OSError: The file cannot be written; it names ``path``, not the file beside it.
    """
    target = Path(path)
    with _naming(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.absolute().parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            with _naming(path):
                stream.flush()
                os.fsync(stream.fileno())
        # mkstemp makes files for this user alone; a result has the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        with _naming(path):
            temporary.chmod(0o666 & ~mask)
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
