"""A `Session` on a TensorRT plan. **Unverified**: no engine has ever run in this project.

Plans are built by ``export/to_tensorrt.py``. This module is written against the documented
interface of TensorRT 10 and 11 (``deserialize_cuda_engine``, ``set_input_shape``,
``set_tensor_address``, ``execute_async_v3``) and tested up to the missing GPU only. The plan is
a plain serialised engine; what it means is in the sidecar ``<plan>.json`` beside it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.cuda_runtime import DEVICE_TO_HOST, HOST_TO_DEVICE, CudaRuntime, driver_error
from dsah_infer.errors import DeviceError, ModelFileError, UsageError
from dsah_infer.session import output_shapes
from dsah_infer.tensorrt_library import LIBRARIES, import_tensorrt

__all__ = ["TensorRtSession", "read_plan", "read_sidecar"]

SIDECAR_KEYS = (
    "contract",
    "library",
    "library_version",
    "compute_capability",
    "precision",
    "profile",
    "onnx_fingerprint",
    "plan_sha256",
)


def read_sidecar(plan: Path) -> dict[str, Any]:
    """The facts of ``plan`` in ``<plan>.json``, with ``contract`` as a `CodeContract`.

    Raises:
        ModelFileError: Plan or sidecar is missing, or the sidecar lacks a fact.
        ContractError: Its contract is malformed or of a newer format version.
    """
    sidecar = plan.with_name(plan.name + ".json")
    build = "build both with export/to_tensorrt.py"
    for path in (plan, sidecar):
        if not path.is_file():
            raise ModelFileError(f"{path}: no such file; {build}")
    try:
        facts = json.loads(sidecar.read_text())
        missing = [key for key in SIDECAR_KEYS if key not in facts]
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{sidecar}: not the sidecar of a plan ({error}); {build}") from None
    if missing:
        raise ModelFileError(f"{sidecar}: lacks {', '.join(missing)}; {build}")
    contract = facts["contract"]
    text = contract if isinstance(contract, str) else json.dumps(contract)
    return {**facts, "contract": CodeContract.from_json(text)}


def read_plan(plan: Path, facts: dict[str, Any]) -> bytes:
    """The very bytes that a sidecar speaks of; TensorRT trusts a plan as it does code.

    Raises:
        ModelFileError: The plan was changed since it was built.
    """
    content = plan.read_bytes()
    if hashlib.sha256(content).hexdigest() != facts["plan_sha256"]:
        raise ModelFileError(
            f"{plan}: damaged, or not the plan that {plan.name}.json was written for; build both "
            "with export/to_tensorrt.py"
        )
    return content


class TensorRtSession:
    """Runs a plan on the first CUDA device; batches go through its optimisation profile.

    Unverified: see the head of this module.
    """

    provider = "TensorRT"

    def __init__(self, plan: Path, device: str = "auto") -> None:
        """Load a plan.

        Raises:
            UsageError: A device other than ``auto`` and ``tensorrt``.
            ModelFileError: The plan was built by another library version or for another card, or
                changed since; or its tensors are not those of its contract.
            MissingDependencyError: The library that built it is not installed.
            DeviceError: There is no NVIDIA driver or device.
        """
        if device not in ("auto", "tensorrt"):
            raise UsageError(f"device {device!r} for a TensorRT plan; allowed: auto, tensorrt")
        facts = read_sidecar(plan)
        self.contract: CodeContract = facts["contract"]
        self._plan = plan
        missing = driver_error()
        if missing:  # asked first: TensorRT's own runtime ends the process without a driver
            raise DeviceError(
                f"{plan}: a TensorRT plan needs an NVIDIA card: {missing}; on this machine use "
                "the ONNX file that it was built from"
            )
        content = read_plan(plan, facts)
        library = _import_library(facts)
        self._cuda = CudaRuntime()
        built_for, here = str(facts["compute_capability"]), self._cuda.compute_capability()
        if built_for not in (here, "any"):
            raise ModelFileError(
                f"{plan}: built for compute capability {built_for}, this card has {here}; build "
                "it here with export/to_tensorrt.py"
            )
        self._least, self._largest = _batch_sizes(plan, facts["profile"])
        self._lock = threading.Lock()  # an execution context serves one run at a time
        self._runtime = library.Runtime(library.Logger(library.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise ModelFileError(f"{plan}: {facts['library']} cannot load it; build it again")
        _check_engine(plan, self._engine, self.contract)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceError(f"{plan}: no execution context; is there memory left on the card?")

    def run(self, outputs: Sequence[str], images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """The named outputs for images uint8 (n, S, S, 3), n >= 1, split to fit the profile.

        A part smaller than the profile's ``min`` is filled up with its last picture.

        Raises:
            ModelFileError: The engine refuses a shape or an address, or fails.
            UsageError: This session was closed.
        """
        parts = [
            self._run_part(outputs, images[at : at + self._largest])
            for at in range(0, len(images), self._largest)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _run_part(
        self, outputs: Sequence[str], images: npt.NDArray[np.uint8]
    ) -> list[npt.NDArray[Any]]:
        count = len(images)
        if count < self._least:
            images = np.concatenate([images, np.repeat(images[-1:], self._least - count, axis=0)])
        images = np.ascontiguousarray(images)
        results = {
            name: np.empty((len(images), *shape), np.uint8 if name == "codes" else np.float32)
            for name, shape in output_shapes(self.contract).items()
        }
        with self._lock, self._cuda.buffers({"images": images, **results}) as buffers:
            if self._context is None:
                raise UsageError("this session was closed")
            self._cuda.copy(buffers["images"], images.ctypes.data, images.nbytes, HOST_TO_DEVICE)
            self._check(
                self._context.set_input_shape("images", images.shape),
                f"refuses pictures of shape {images.shape}",
            )
            for name, address in buffers.items():
                self._check(
                    self._context.set_tensor_address(name, address), f"has no tensor {name!r}"
                )
            self._check(self._context.execute_async_v3(0), f"failed on {len(images)} pictures")
            self._cuda.synchronize()
            for name in outputs:
                to = results[name]
                self._cuda.copy(to.ctypes.data, buffers[name], to.nbytes, DEVICE_TO_HOST)
        return [results[name][:count] for name in outputs]

    def _check(self, went_well: bool, complaint: str) -> None:
        """TensorRT says no by returning False, and its log says why."""
        if not went_well:
            raise ModelFileError(
                f"{self._plan}: the engine {complaint}; build it again with export/to_tensorrt.py"
            )

    def close(self) -> None:
        """Release the engine."""
        with self._lock:
            self._context = self._engine = self._runtime = None

    def abandon(self) -> None:
        """CUDA does not survive a fork: keep the parent's objects from being released here."""
        for held in (self._context, self._engine, self._runtime):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
        self._context = self._engine = self._runtime = None


def _check_engine(plan: Path, engine: Any, contract: CodeContract) -> None:
    """Names and shapes of the engine's tensors: device memory is sized by the contract."""
    size = contract.pixels.size
    wanted = {"images": (size, size, 3), **output_shapes(contract)}
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    found = {name: tuple(engine.get_tensor_shape(name))[1:] for name in names}  # without N
    if found != wanted:
        raise ModelFileError(
            f"{plan}: its tensors {found} are not those of its sidecar, {wanted}; build both "
            "with export/to_tensorrt.py"
        )


def _batch_sizes(plan: Path, profile: Any) -> tuple[int, int]:
    """Smallest and largest batch of a sidecar's profile."""
    try:
        least, largest = int(profile["min"]), int(profile["max"])
    except (KeyError, TypeError, ValueError):
        least = largest = 0
    if not 1 <= least <= largest:
        raise ModelFileError(
            f"{plan}: its sidecar has the profile {profile}; expected 1 <= min <= max; build both "
            "with export/to_tensorrt.py"
        )
    return least, largest


def _import_library(facts: dict[str, Any]) -> Any:
    """The very library and version that built the plan: plans fit no other."""
    name, version = str(facts["library"]), str(facts["library_version"])
    if name not in LIBRARIES:
        raise ModelFileError(f"built by {name!r}; allowed: {', '.join(LIBRARIES)}")
    library, _ = import_tensorrt(name)
    if library.__version__ != version:
        raise ModelFileError(
            f"the plan was built by {name} {version}, installed is {library.__version__}; build "
            "it again with export/to_tensorrt.py"
        )
    return library
