"""Finds the TensorRT that is installed, under whichever name its wheels gave it."""

from __future__ import annotations

import importlib
from typing import Any

from dsah_infer.errors import MissingDependencyError, UsageError

__all__ = ["LIBRARIES", "import_tensorrt"]

#: Library -> modules that are it. The wheels of TensorRT for RTX install ``tensorrt_rtx_bindings``;
#: only their source package on top adds the name ``tensorrt_rtx``.
LIBRARIES = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}


def import_tensorrt(library: str | None = None) -> tuple[Any, str]:
    """The module and the name of its library: ``tensorrt``, else ``tensorrt_rtx``.

    Args:
        library: Take this library only.

    Raises:
        MissingDependencyError: None can be imported; the message gives the reasons.
        UsageError: An unknown library.
    """
    if library is not None and library not in LIBRARIES:
        raise UsageError(f"library {library!r}; allowed: {', '.join(LIBRARIES)}")
    reasons = []
    for name in (library,) if library else LIBRARIES:
        for module in LIBRARIES[name]:
            try:
                found = importlib.import_module(module)
                if name == "tensorrt" and int(str(found.__version__).split(".")[0]) < 10:
                    reasons.append(f"{module}: version {found.__version__}, needed: 10 or newer")
                    continue
                return found, name
            except Exception as error:  # bindings without their libraries raise OSError and others
                reasons.append(f"{module}: {error}")
    raise MissingDependencyError(
        f"{library or 'TensorRT'} cannot be imported ({'; '.join(reasons)}). TensorRT is not whole "
        "on the package registry: pip install --extra-index-url https://pypi.nvidia.com "
        "'.[tensorrt]' in a checkout of dsah; for GeForce RTX cards, pip install "
        "tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings"
    )
