"""One onnxruntime session on the device that was asked for, its graph checked beforehand.

onnxruntime falls back to the CPU in silence, so the one thing trusted here is what the finished
session reports as its first provider.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dsah_infer.contract import CodeContract
from dsah_infer.errors import DeviceError, ModelFileError, UsageError
from dsah_infer.onnx_file import ModelFile
from dsah_infer.providers import (
    DEVICES,
    OPTIONS,
    best_device,
    import_onnxruntime,
    preload,
    why_not,
)

__all__ = ["OnnxSession", "Session", "output_shapes"]

log = logging.getLogger("dsah_infer")


class Session(Protocol):
    """A loaded model; `run` may be called from many threads at once.

    Attributes:
        provider: What runs it: an onnxruntime execution provider, or TensorRT.
        contract: The model's code contract.
    """

    provider: str
    contract: CodeContract

    def run(self, outputs: Sequence[str], images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """The named outputs for images uint8 (n, S, S, 3), n >= 1."""

    def close(self) -> None:
        """Release memory; `run` is an error afterwards."""

    def abandon(self) -> None:
        """Forget everything without releasing it, in the child of a fork."""


class OnnxSession:
    """A `Session` of onnxruntime."""

    def __init__(
        self, model: ModelFile, device: str, threads: int, *, record_nodes: bool = False
    ) -> None:
        """Open ``model`` on ``device`` (``auto``, ``cpu``, ``cuda`` or ``tensorrt``).

        Raises:
            DeviceError: The device did not come up; the message names the reason.
            ModelFileError: onnxruntime refuses the graph, or it does not fit its contract.
            MissingDependencyError: onnxruntime is missing, or installed twice.
        """
        if device not in ("auto", *DEVICES):
            raise UsageError(f"device {device!r}; allowed: auto, {', '.join(DEVICES)}")
        runtime = import_onnxruntime()
        wanted = best_device(runtime) if device == "auto" else device
        self.contract = model.contract
        self._session: Any = _open(runtime, model.data, wanted, threads, record_nodes)
        self.provider: str = self._session.get_providers()[0]
        if self.provider != DEVICES[wanted][0]:
            if device != "auto":
                raise _did_not_come_up(runtime, device)
            reason = why_not(runtime, DEVICES[wanted][0])
            log.warning("%s is not used, running on the CPU: %s", wanted.upper(), reason)
        _check_graph(self._session, self.contract)

    def run(self, outputs: Sequence[str], images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """The named outputs for images uint8 (n, S, S, 3), n >= 1.

        Raises:
            ModelFileError: The graph failed, or gave other shapes than its contract says.
        """
        session = self._session
        if session is None:
            raise UsageError("this session was closed")
        try:
            results: list[npt.NDArray[Any]] = session.run(list(outputs), {"images": images})
        except Exception as error:  # the binding's classes differ between releases
            raise ModelFileError(f"the graph failed on {len(images)} pictures: {error}") from error
        shapes = output_shapes(self.contract)
        for name, result in zip(outputs, results, strict=True):
            if result.shape != (len(images), *shapes[name]):
                raise ModelFileError(
                    f"its graph does not fit its contract: {name!r} came out as {result.shape}, "
                    f"expected {(len(images), *shapes[name])}"
                )
        return results

    def node_providers(self) -> dict[str, list[str]]:
        """Provider -> operators it runs, for a session opened with ``record_nodes=True``."""
        placed: dict[str, list[str]] = {}
        for part in self._session.get_provider_graph_assignment_info():
            placed.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
        return placed

    def close(self) -> None:
        """Release the session's memory."""
        self._session = None

    def abandon(self) -> None:
        """Forget the session without releasing it: a fork's child has its memory, but not the
        threads that the release would wait for.
        """
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session = None


def output_shapes(contract: CodeContract) -> dict[str, tuple[int, ...]]:
    """Output name -> shape of one picture's part of it."""
    shapes: dict[str, tuple[int, ...]] = {
        "codes": (contract.code_bytes,),
        "activations": (contract.activations,),
    }
    if contract.has_saliency:
        shapes["saliency"] = (contract.pixels.size, contract.pixels.size)
    return shapes


def _open(runtime: Any, data: bytes, device: str, threads: int, record_nodes: bool) -> Any:
    available = runtime.get_available_providers()
    if DEVICES[device][0] not in available:
        raise _did_not_come_up(runtime, device)
    if device != "cpu":
        preload(runtime)
    options = runtime.SessionOptions()
    # Left at 0, onnxruntime pins threads to cores that a container may not own.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take the cores that decode the next batch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if record_nodes:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    providers = [name for name in DEVICES[device] if name in available]
    try:
        # With a device it may print to stdout that it falls back: no place for what is no result.
        with contextlib.redirect_stdout(sys.stderr if device != "cpu" else sys.stdout):
            return runtime.InferenceSession(
                data,
                options,
                providers=providers,
                provider_options=[dict(OPTIONS[name]) for name in providers],
            )
    except Exception as error:  # the binding's classes differ between releases
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"onnxruntime {runtime.__version__} refuses it: {reason}") from error


def _did_not_come_up(runtime: Any, device: str) -> DeviceError:
    reason = why_not(runtime, DEVICES[device][0])
    return DeviceError(
        f"device {device!r} was asked for and did not come up: {reason}. "
        "'dsah doctor' shows what is missing; device='auto' falls back to the CPU"
    )


def _check_graph(session: Any, contract: CodeContract) -> None:
    """Names, types and shapes against the contract, before anything runs."""
    size = contract.pixels.size
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {"images": ("tensor(uint8)", (size, size, 3))}
    for name, shape in output_shapes(contract).items():
        wanted[name] = ("tensor(uint8)" if name == "codes" else "tensor(float)", shape)
    nodes = (*session.get_inputs(), *session.get_outputs())
    found = {node.name: (node.type, list(node.shape)) for node in nodes}
    for name in sorted({*wanted, *found}):
        given, rule = found.get(name), wanted.get(name)
        if given is None or rule is None or not _fits(*given, *rule):
            raise ModelFileError(
                f"its graph does not fit its contract: {name!r} is "
                f"{given[0] + str(given[1]) if given else 'missing'}, expected "
                f"{rule[0] + str(['N', *rule[1]]) if rule else 'not to be there'}; "
                "export the model again with export/to_onnx.py"
            )


def _fits(kind: str, shape: list[int | str], rule_kind: str, rule: tuple[int, ...]) -> bool:
    """Whether a graph's (type, shape) is [N, *rule]: N free, every other size written out."""
    return (
        bool(shape)
        and kind == rule_kind
        and not isinstance(shape[0], int)
        and tuple(shape[1:]) == rule
    )
