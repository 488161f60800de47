"""The few calls of the CUDA runtime that a TensorRT plan needs, through ctypes.

Unverified: written against the documented C interface, never run on a card in this project.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from collections.abc import Iterator, Mapping
from typing import Any

import numpy.typing as npt

from dsah_infer.errors import DeviceError

__all__ = ["CudaRuntime", "driver_error"]

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and Minor
_NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")


def driver_error() -> str | None:
    """Why CUDA cannot work at all on this machine; None where a driver is installed."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1 is missing)"
    return None


class CudaRuntime:
    """Device memory and copies on the current CUDA device."""

    def __init__(self) -> None:
        """Load the runtime library.

        Raises:
            DeviceError: No driver, or none of the runtime's libraries loads.
        """
        missing = driver_error()
        if missing:
            raise DeviceError(missing)
        for name in _NAMES:
            with contextlib.suppress(OSError):
                self._library: Any = ctypes.CDLL(name)
                return
        raise DeviceError(f"no CUDA runtime: none of {', '.join(_NAMES)} loads")

    def compute_capability(self) -> str:
        """Of device 0, as ``9.0``."""
        values = []
        for attribute in (_MAJOR, _MINOR):
            value = ctypes.c_int()
            self._check(self._library.cudaDeviceGetAttribute(ctypes.byref(value), attribute, 0))
            values.append(value.value)
        return f"{values[0]}.{values[1]}"

    @contextlib.contextmanager
    def buffers(self, arrays: Mapping[str, npt.NDArray[Any]]) -> Iterator[dict[str, int]]:
        """Device memory as large as each array, by name; freed at the end of the block."""
        held: dict[str, int] = {}
        try:
            for name, array in arrays.items():
                address = ctypes.c_void_p()
                size = ctypes.c_size_t(array.nbytes)
                self._check(self._library.cudaMalloc(ctypes.byref(address), size))
                held[name] = int(address.value or 0)
            yield held
        finally:
            for address_value in held.values():
                self._library.cudaFree(ctypes.c_void_p(address_value))

    def copy(self, to: int, source: int, size: int, direction: int) -> None:
        """Copy ``size`` bytes between host and device addresses."""
        self._check(
            self._library.cudaMemcpy(
                ctypes.c_void_p(to), ctypes.c_void_p(source), ctypes.c_size_t(size), direction
            )
        )

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        self._check(self._library.cudaDeviceSynchronize())

    def _check(self, status: int) -> None:
        if status:
            self._library.cudaGetErrorString.restype = ctypes.c_char_p
            text = self._library.cudaGetErrorString(status)
            raise DeviceError(f"CUDA: {text.decode() if text else f'error {status}'}")
