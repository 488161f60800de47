"""dsah_train: learns compact binary codes with attention. Needs the ``train`` extra (PyTorch).

The metrics and data parts work without PyTorch, but for the sets that torchvision reads;
`require_torch` is how the others say what to install when it is missing.
"""

from __future__ import annotations

from importlib.util import find_spec

from dsah_infer.errors import MissingDependencyError, install_hint
from dsah_train.huge_pages import ask_for_huge_pages

__all__ = ["require_torch"]

ask_for_huge_pages()  # here, because whatever imports torch imports this package first


def require_torch() -> None:
    """Raise a message with the next step when PyTorch is not installed.

    Raises:
        MissingDependencyError: torch or torchvision is missing.
    """
    missing = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"training needs {' and '.join(missing)}: {install_hint('train')} (searching does "
            "not: dsah_infer works without)"
        )
