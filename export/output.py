"""Where an export script writes: folders are made, failures are named, nothing half-made stays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dsah_infer.errors import OutputError

__all__ = ["writing"]


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Make the folder of ``out`` for the block; when it fails, remove the folders made for it.

    Raises:
        OutputError: In place of an OSError of the block: no permission, a full disk, a file
            where a folder is needed.
    """
    made = [folder for folder in out.absolute().parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for folder in made:  # the innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise OutputError(
                f"{out} cannot be written ({error.strerror or error}); name another place with -o"
            ) from error
        raise
