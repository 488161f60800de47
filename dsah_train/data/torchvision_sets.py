"""Official sets that torchvision has a loader for, read by it from wherever their files lie.

torchvision reads unpacked folders alone. The few files that its loader opens (pixels or labels, not
photographs) are laid out in a temporary folder while it reads, so that archives are taken as
downloaded. It compares checksums first: only the published pickles are ever unpickled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsah_infer.errors import DataError, MissingDependencyError, install_hint
from dsah_train import require_torch
from dsah_train.data.official import Tails

__all__ = ["laid_out", "torchvision_loader"]


def torchvision_loader(name: str) -> Any:
    """A data set class of torchvision.

    Raises:
        MissingDependencyError: torch or torchvision is not installed.
    """
    require_torch()
    from dsah_train.torchvision_import import torchvision

    return getattr(torchvision.datasets, name)


@contextmanager
def laid_out(
    tails: Tails, base: str, files: Sequence[str], empty: Sequence[str] = ()
) -> Iterator[Path]:
    """A root folder for a loader of torchvision, gone at the end of the ``with``.

    Args:
        tails: Where the files are.
        base: The folder under the root in which the loader looks.
        files: Names of the files that it opens there.
        empty: Names of folders that it asks for without reading them.

    Raises:
        DataError: A file is missing, or the loader does not take them for the published ones.
        MissingDependencyError: The loader needs a package that is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="dsah-") as root:
        for folder in ("", *empty):
            (Path(root) / base / folder).mkdir(parents=True, exist_ok=True)
        for name in files:
            (Path(root) / base / name).write_bytes(tails.source.read(tails.need(name)))
        try:
            yield Path(root)
        except RuntimeError as error:
            raise DataError(
                f"{tails.source.path}: the checksum of one of {', '.join(files)} is not that of "
                f"the published file; download it again (torchvision: {error})"
            ) from error
        except ImportError as error:
            raise MissingDependencyError(
                f"{tails.source.path}: torchvision reads {', '.join(files)} with {error.name}: "
                f"{install_hint('train')}"
            ) from error
