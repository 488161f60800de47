"""Says what to install before an import fails without saying it."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["need"]


def need(*packages: str) -> None:
    """End the script with the next step where a package is missing."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        sys.exit(f"export needs {', '.join(missing)}: pip install -e '.[export]' in the checkout")
