"""Devices that do not come up, wheels that clash, and what `auto` does about it."""

from __future__ import annotations

import builtins
import importlib.metadata
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from dsah_infer import Encoder, doctor, providers
from dsah_infer.doctor import examine
from dsah_infer.errors import DeviceError, MissingDependencyError
from dsah_infer.onnx_file import read_model
from dsah_infer.session import OnnxSession

CUDA_WHEEL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
HAS_CUDA = providers.library_error(onnxruntime, providers.CUDA) is None


def as_the_cuda_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU wheel behaves like the GPU wheel without CUDA: listed, then silently not used."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA_WHEEL)
    original = onnxruntime.InferenceSession

    def falls_back(data: bytes, options: Any, providers: list[str]) -> Any:
        assert "CPUExecutionProvider" in providers
        return original(data, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_the_wheel_lacks_is_an_error(tiny: Path, device: str) -> None:
    if any("CUDA" in name for name in onnxruntime.get_available_providers()):
        pytest.skip("this is the GPU wheel")
    with pytest.raises(DeviceError, match=r"built without .*dsah\[gpu\]"):
        Encoder(tiny, device=device)


@pytest.mark.skipif(HAS_CUDA, reason="CUDA works here")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_silent_fallback_is_an_error(
    tiny: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_the_cuda_wheel(monkeypatch)
    with pytest.raises(DeviceError, match=r"did not come up: .*(libcuda|cannot open)"):
        Encoder(tiny, device=device)


@pytest.mark.skipif(HAS_CUDA, reason="CUDA works here")
def test_auto_falls_back_and_says_so(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    as_the_cuda_wheel(monkeypatch)
    with caplog.at_level(logging.INFO, "dsah_infer"), Encoder(tiny) as encoder:
        assert encoder.provider == "CPUExecutionProvider"
    assert any("CUDA is not used" in r.message and "lib" in r.message for r in caplog.records)
    assert any("runs on CPUExecutionProvider" in r.message for r in caplog.records)


@pytest.mark.gpu
def test_cuda_comes_up_and_agrees(tiny: Path, noise: Any) -> None:
    if not HAS_CUDA or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu and a CUDA device")
    with Encoder(tiny, device="cuda") as gpu, Encoder(tiny, device="cpu") as cpu:
        assert gpu.provider == "CUDAExecutionProvider"
        assert (gpu.encode(noise) == cpu.encode(noise)).all()


def test_two_wheels_are_an_error_that_names_both(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.31.1")
    with pytest.raises(MissingDependencyError, match=r"onnxruntime 1\.31\.1 and onnxruntime-gpu"):
        Encoder(tiny)
    report = examine()
    assert any("overwrite" in problem for problem in report.problems)


def test_without_onnxruntime_the_two_commands_are_named(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"dsah\[cpu\].*dsah\[gpu\]"):
        Encoder(tiny)


def test_a_missing_driver_is_the_reason_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(name: str, **_: Any) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(providers, "ctypes", SimpleNamespace(CDLL=no_driver, RTLD_GLOBAL=0))
    assert "libcuda.so.1" in str(providers.library_error(onnxruntime, providers.CUDA))


def test_a_missing_cuda_library_is_named_by_the_linker(monkeypatch: pytest.MonkeyPatch) -> None:
    def driver_only(name: str, **_: Any) -> None:
        if name != "libcuda.so.1":
            raise OSError("libcublasLt.so.13: cannot open shared object file")

    monkeypatch.setattr(providers, "ctypes", SimpleNamespace(CDLL=driver_only, RTLD_GLOBAL=0))
    assert "libcublasLt.so.13" in str(providers.library_error(onnxruntime, providers.CUDA))


def test_every_node_of_the_probe_is_placed(tiny: Path) -> None:
    session = OnnxSession(read_model(tiny), "cpu", 1, record_nodes=True)
    placed = session.node_providers()
    assert set(placed) == {"CPUExecutionProvider"}
    assert placed["CPUExecutionProvider"].count("Conv") == 2


def test_only_devices_whose_libraries_load_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA_WHEEL)
    loads = {providers.CUDA: None, providers.TENSORRT: "libnvinfer.so.10: cannot open"}
    monkeypatch.setattr(providers, "library_error", lambda _, provider: loads[provider])
    assert providers.working_devices(onnxruntime) == ("cpu", "cuda")
    loads[providers.CUDA] = "no NVIDIA driver"
    assert providers.working_devices(onnxruntime) == ("cpu",)


def test_doctor_tells_providers_that_load_from_those_that_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA_WHEEL)
    loads = {providers.CUDA: None, providers.TENSORRT: "libnvinfer.so.10: cannot open"}
    monkeypatch.setattr(doctor, "library_error", lambda _, provider: loads[provider])
    facts = examine().sections["onnxruntime"]
    assert facts[providers.CUDA] == "compiled in; its libraries load"
    assert facts[providers.TENSORRT] == "compiled in; libnvinfer.so.10: cannot open"
