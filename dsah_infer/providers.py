"""Which onnxruntime is installed, which device it can really use, and if not, why.

onnxruntime lists the providers it was compiled with, not those whose libraries load, and its
CPU and GPU wheels overwrite each other's files. The questions are asked here, once.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsah_infer.errors import MissingDependencyError, install_hint

__all__ = [
    "CUDA",
    "DEVICES",
    "OPTIONS",
    "TENSORRT",
    "best_device",
    "clashing_wheels",
    "import_onnxruntime",
    "library_error",
    "preload",
    "why_not",
    "working_devices",
]

log = logging.getLogger("dsah_infer")

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
#: Device -> the providers to ask for, the wanted one first.
DEVICES: Mapping[str, tuple[str, ...]] = {
    "cpu": (CPU,),
    "cuda": (CUDA, CPU),
    "tensorrt": (TENSORRT, CUDA, CPU),
}
#: CUDA rounds the factors of float32 products to 10 bits unless told not to: other bits than torch
#: and the CPU give. Written against the documentation; no card was at hand.
OPTIONS: Mapping[str, Mapping[str, str]] = {CPU: {}, CUDA: {"use_tf32": "0"}, TENSORRT: {}}
_LIBRARY = {
    CUDA: "libonnxruntime_providers_cuda.so",
    TENSORRT: "libonnxruntime_providers_tensorrt.so",
}
_WHEELS = ("onnxruntime", "onnxruntime-gpu")


def clashing_wheels() -> tuple[str, ...]:
    """The installed onnxruntime wheels with their versions, if more than one; else empty."""
    found = []
    for name in _WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return tuple(found) if len(found) > 1 else ()


def import_onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        MissingDependencyError: None is installed, or both wheels are.
    """
    both = clashing_wheels()
    if both:
        raise MissingDependencyError(
            f"{' and '.join(both)} are both installed and overwrite each other's files; run "
            "'pip uninstall onnxruntime onnxruntime-gpu', then install one: "
            f"{install_hint('cpu')}, or {install_hint('gpu')}"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"onnxruntime cannot be imported ({error}); {install_hint('cpu')}, or "
            f"{install_hint('gpu')} for NVIDIA cards"
        ) from None
    return onnxruntime


def best_device(runtime: Any) -> str:
    """``cuda`` where its provider's libraries load, else ``cpu``, with a log line saying why."""
    if CUDA not in runtime.get_available_providers():
        return "cpu"
    preload(runtime)
    reason = library_error(runtime, CUDA)
    if reason is None:
        return "cuda"
    log.warning("CUDA is not used, running on the CPU: %s", reason)
    return "cpu"


def working_devices(runtime: Any) -> tuple[str, ...]:
    """``cpu``, and each further device whose provider's libraries load."""
    compiled = set(runtime.get_available_providers())
    candidates = [name for name in DEVICES if name != "cpu" and DEVICES[name][0] in compiled]
    if candidates:
        preload(runtime)
    works = [name for name in candidates if library_error(runtime, DEVICES[name][0]) is None]
    return ("cpu", *works)


def preload(runtime: Any) -> None:
    """Load CUDA libraries that came as wheels, where this onnxruntime can."""
    if hasattr(runtime, "preload_dlls"):
        # It prints what it did not find, which is not an error here.
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            runtime.preload_dlls()


def why_not(runtime: Any, provider: str) -> str:
    """Why ``provider`` did not come up, in one line."""
    if provider not in runtime.get_available_providers():
        return (
            f"the installed onnxruntime {runtime.__version__} was built without {provider}; "
            f"'pip uninstall onnxruntime', then {install_hint('gpu')}"
        )
    return library_error(runtime, provider) or (
        f"its libraries load, yet onnxruntime {runtime.__version__} did not take {provider}; its "
        "own words stand on stderr"
    )


def _card_error(driver: Any) -> str | None:
    """What the driver says against using a card; None where there is one to use."""
    status = driver.cuInit(0)
    count = ctypes.c_int()
    if not status:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        words = text.value.decode() if text.value else "unknown error"
        return f"the NVIDIA driver finds no card to use: {words} (error {status})"
    return None if count.value else "the NVIDIA driver finds no card to use"


def library_error(runtime: Any, provider: str) -> str | None:
    """Why the provider cannot work here: no driver, no card, no library; None if it may."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1 is missing)"
    refusal = _card_error(driver)
    if refusal is not None:
        return refusal
    library = Path(runtime.__file__).parent / "capi" / _LIBRARY[provider]
    try:
        shared = library.with_name("libonnxruntime_providers_shared.so")
        ctypes.CDLL(str(shared), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error)
    return None
