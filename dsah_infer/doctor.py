"""Examines what this machine and installation can really do, and names what is broken."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from dsah_infer import __version__
from dsah_infer.cpu import available_cores, cpu_quota, memory_limit
from dsah_infer.errors import DsahError
from dsah_infer.onnx_file import read_model
from dsah_infer.providers import (
    CUDA,
    TENSORRT,
    clashing_wheels,
    import_onnxruntime,
    library_error,
    preload,
)
from dsah_infer.session import OnnxSession, Session
from dsah_infer.tensorrt_session import TensorRtSession

__all__ = ["Report", "examine"]

#: What the GPU builds of onnxruntime link, by purpose.
_LIBRARIES = {
    "NVIDIA driver": ("libcuda.so.1",),
    "CUDA runtime": ("libcudart.so.13", "libcudart.so.12"),
    "cuBLAS": ("libcublasLt.so.13", "libcublasLt.so.12"),
    "cuDNN": ("libcudnn.so.9",),
    "TensorRT": ("libnvinfer.so.10", "libnvinfer.so.11"),
    "TensorRT ONNX parser": ("libnvonnxparser.so.10", "libnvonnxparser.so.11"),
}
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt_rtx_cu13_bindings", "torch")
_FLAGS = ("popcnt", "avx2", "avx512f", "avx512_vpopcntdq", "avx512_vnni", "avx_vnni", "amx_int8")


@dataclass
class Report:
    """Facts by section, and what is wrong.

    Attributes:
        sections: Section -> name -> fact, in words.
        problems: One line each, with the next step; empty when all is well.
    """

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def examine(model: str | os.PathLike[str] | None = None, device: str = "auto") -> Report:
    """Look at the installation and, with a model, run it once and see where each node ran.

    Args:
        model: An exported model for the probe run.
        device: The device that the probe asks for.
    """
    report = Report()
    report.sections["software"] = _software()
    report.sections["processor"] = _processor()
    runtime = _runtime(report.problems)  # first: it loads what CUDA came as wheels
    report.sections["libraries"] = {what: _loaded(names) for what, names in _LIBRARIES.items()}
    report.sections["onnxruntime"] = runtime
    report.sections["probe run"] = (
        {"none": "give -m MODEL to see the provider of each node"}
        if model is None
        else _probe(model, device, report.problems)
    )
    return report


def _software() -> dict[str, str]:
    jpeg = features.version("libjpeg_turbo") or features.version("jpg") or "missing"
    facts = {
        "dsah": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "Pillow": f"{PIL.__version__}, libjpeg-turbo {jpeg}",
    }
    for name in _PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def _processor() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    flags = set((re.search(r"flags\s*:\s*(.+)", text) or [""])[0].split())
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    quota, memory = cpu_quota(), memory_limit()
    facts = {
        "model": model[1] if model else platform.machine(),
        "instructions": " ".join(f for f in _FLAGS if f in flags) or "unknown",
        "CPU set": f"{len(cores)} of {os.cpu_count()} cores: {_ranges(sorted(cores))}",
        "cgroup quota": "none" if quota is None else f"{quota:g} cores",
        "threads used": str(available_cores()),
        "memory limit": "unknown" if memory is None else f"{memory / 2**30:.1f} GiB",
    }
    try:
        from dsah_infer.index import HammingIndex

        facts["ranker"] = str(HammingIndex(64).isa)
    except ImportError as error:
        facts["ranker"] = f"cannot be loaded ({error})"
    return facts


def _ranges(cores: list[int]) -> str:
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][1] + 1:
            runs[-1][1] = core
        else:
            runs.append([core, core])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in runs)


def _loaded(names: tuple[str, ...]) -> str:
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return f"{name} found"
    return f"missing ({', '.join(names)})"


def _runtime(problems: list[str]) -> dict[str, str]:
    try:
        runtime = import_onnxruntime()
    except DsahError as error:
        problems.append(str(error))
        both = clashing_wheels()
        return {"wheels": f"clash: {', '.join(both)}" if both else "none"}
    preload(runtime)
    facts = {"version": runtime.__version__}
    for provider in runtime.get_available_providers():
        facts[provider] = "compiled in"
        if provider in (CUDA, TENSORRT):
            facts[provider] += f"; {library_error(runtime, provider) or 'its libraries load'}"
    return facts


def _probe(model: str | os.PathLike[str], device: str, problems: list[str]) -> dict[str, str]:
    try:
        if Path(model).suffix == ".plan":
            engine = TensorRtSession(Path(model), device)
            facts = _run_once(model, device, engine)
            engine.close()
            return facts
        session = OnnxSession(read_model(model), device, available_cores(), record_nodes=True)
        facts = _run_once(model, device, session)
        for provider, operators in session.node_providers().items():
            counts = ", ".join(f"{n} {name}" for name, n in Counter(operators).most_common())
            facts[provider] = f"{len(operators)} nodes: {counts}"
        session.close()
    except DsahError as error:
        if str(error) not in problems:  # a missing onnxruntime was named above
            problems.append(str(error))
        return {"model": f"{model}: failed"}
    return facts


def _run_once(model: str | os.PathLike[str], device: str, session: Session) -> dict[str, str]:
    size = session.contract.pixels.size
    session.run(["codes"], np.zeros((1, size, size, 3), np.uint8))
    return {"model": str(model), "device": f"{device} -> {session.provider}"}
