"""One engine builder over the TensorRT module that is installed.

``tensorrt`` 10 and 11 and ``tensorrt_rtx`` have the same classes and calls for what is needed
here. Networks are strongly typed: the precision is the graph's own, not a builder flag. The
RTX module builds without a GPU, which is how this file is tested; **engines are built and never
run here**.
"""

from __future__ import annotations

import ctypes
from dataclasses import asdict, dataclass
from typing import Any

from dsah_infer.errors import ExportError, UsageError
from dsah_infer.onnx_file import ModelFile

__all__ = ["Profile", "build_plan", "compute_capability", "sidecar"]


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine accepts and the one it is tuned for: 1 <= min <= opt <= max."""

    min: int = 1
    opt: int = 8
    max: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise UsageError(
                f"--min {self.min} --opt {self.opt} --max {self.max}; needed: "
                "1 <= min <= opt <= max"
            )


def build_plan(trt: Any, model: ModelFile, profile: Profile) -> bytes:
    """Parse a sealed ONNX model and build a plain serialised plan.

    Args:
        trt: From `dsah_infer.tensorrt_library.import_tensorrt`.
        model: The exported file.
        profile: Batch sizes.

    Raises:
        ExportError: The parser refuses the graph (its messages are given), or the build fails.
    """
    logger = _collector(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.data):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        messages = "; ".join(" ".join(error.split()) for error in errors)
        hint = ""
        if model.contract.precision == "int8":
            hint = " (int8 for TensorRT: to_onnx.py --precision int8 --target tensorrt)"
        raise ExportError(f"TensorRT's parser refuses the graph{hint}: {messages}")
    settings = builder.create_builder_config()
    # On by default: products of float32 with factors rounded to 10 bits, and so other codes.
    settings.clear_flag(trt.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    size = model.contract.pixels.size
    shapes.set_shape("images", *((n, size, size, 3) for n in asdict(profile).values()))
    settings.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise ExportError(
            f"TensorRT parsed the graph but built no engine: {'; '.join(logger.errors[-3:])}"
        )
    return bytes(plan)


def _collector(trt: Any) -> Any:
    """A logger that keeps error messages for the exception and prints nothing."""

    class Collector(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Collector()


def compute_capability() -> str:
    """Of the first CUDA device, as ``9.0``; ``any`` without a driver, when no kernel is tuned."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "any"
    major, minor, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    # Attributes 75 and 76 of the driver's interface.
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return "any"
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return f"{major.value}.{minor.value}"


def sidecar(trt: Any, library: str, model: ModelFile, profile: Profile) -> dict[str, Any]:
    """The facts of a plan: what it means, what built it from what, and where it may run."""
    return {
        "contract": model.contract.to_json(),
        "library": library,
        "library_version": trt.__version__,
        "compute_capability": compute_capability(),
        "precision": model.contract.precision,
        "profile": asdict(profile),
        "onnx_fingerprint": model.contract.fingerprint,
    }
