"""Devices that do not come up, wheels that clash, and what `auto` does about it."""

from __future__ import annotations

import builtins
import ctypes
import importlib.metadata
import logging
from collections.abc import Callable
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

    def falls_back(
        data: bytes, options: Any, providers: list[str], provider_options: list[dict[str, str]]
    ) -> Any:
        assert "CPUExecutionProvider" in providers
        given = dict(zip(providers, provider_options, strict=True))
        if "CUDAExecutionProvider" in given:
            assert given["CUDAExecutionProvider"] == {"use_tf32": "0"}, "float32 means float32"
        return original(data, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_the_wheel_lacks_is_an_error(tiny: Path, device: str) -> None:
    if any("CUDA" in name for name in onnxruntime.get_available_providers()):
        pytest.skip("this is the GPU wheel")
    with pytest.raises(DeviceError, match=r"built without .*\.\[gpu\]"):
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
    (problem,) = examine(tiny).problems  # once, though the probe fails for it too
    assert "overwrite each other's files" in problem


def test_without_onnxruntime_the_two_commands_are_named(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"\.\[cpu\].*\.\[gpu\]"):
        Encoder(tiny)


@pytest.mark.skipif(HAS_CUDA, reason="CUDA works here")
def test_auto_falls_back_even_if_all_libraries_load(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What only the finished session tells: a card too old for the wheel, or its memory full."""
    as_the_cuda_wheel(monkeypatch)
    monkeypatch.setattr(providers, "library_error", lambda *_: None)
    with caplog.at_level(logging.WARNING, "dsah_infer"), Encoder(tiny) as encoder:
        assert encoder.provider == "CPUExecutionProvider"
    assert any("CUDA is not used, running on the CPU: its lib" in r.message for r in caplog.records)
    with pytest.raises(DeviceError, match="did not take CUDAExecutionProvider"):
        Encoder(tiny, device="cuda")


class Driver:
    """NVIDIA's driver library, as far as it is asked for cards."""

    def __init__(self, status: int = 0, cards: int = 1) -> None:
        self.status, self.cards = status, cards

    def cuInit(self, _: int) -> int:
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.cards
        return 0

    def cuGetErrorString(self, _: int, text: Any) -> int:
        text._obj.value = b"no CUDA-capable device is detected"
        return 0


def libraries(monkeypatch: pytest.MonkeyPatch, load: Callable[[str], Any]) -> None:
    """Let the dynamic linker answer as ``load`` does."""
    linker = SimpleNamespace(**vars(ctypes))
    linker.CDLL = lambda name, **_: load(name)
    monkeypatch.setattr(providers, "ctypes", linker)


def test_a_missing_driver_is_the_reason_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    libraries(monkeypatch, no_driver)
    assert "libcuda.so.1" in str(providers.library_error(onnxruntime, providers.CUDA))


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (Driver(status=100), r"no card to use: no CUDA-capable device is detected \(error 100\)"),
        (Driver(cards=0), "no card to use"),
    ],
)
def test_a_driver_without_a_card_is_the_reason_given(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver, says: str
) -> None:
    """A container with the driver's library and no card, or an empty CUDA_VISIBLE_DEVICES."""
    as_the_cuda_wheel(monkeypatch)
    libraries(monkeypatch, lambda _: driver)
    with Encoder(tiny) as encoder:
        assert encoder.provider == "CPUExecutionProvider"
    with pytest.raises(DeviceError, match=says):
        Encoder(tiny, device="cuda")
    assert providers.working_devices(onnxruntime) == ("cpu",)


def test_a_missing_cuda_library_is_named_by_the_linker(monkeypatch: pytest.MonkeyPatch) -> None:
    def driver_only(name: str) -> Driver:
        if name != "libcuda.so.1":
            raise OSError("libcublasLt.so.13: cannot open shared object file")
        return Driver()

    libraries(monkeypatch, driver_only)
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
