"""A .plan file, tested up to the missing GPU: engines have never run in this project."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dsah_infer import Encoder, cuda_runtime, tensorrt_library, tensorrt_session
from dsah_infer.cli import main
from dsah_infer.errors import (
    ContractError,
    DeviceError,
    MissingDependencyError,
    ModelFileError,
    UsageError,
)
from tests.infer.tiny_model import tiny_contract

HAS_DRIVER = cuda_runtime.driver_error() is None
FACTS = {
    "contract": json.loads(tiny_contract().to_json()),
    "library": "tensorrt",
    "library_version": "10.16.1.11",
    "compute_capability": "9.0",
    "precision": "fp32",
    "profile": {"min": 1, "opt": 2, "max": 4},
    "onnx_fingerprint": "0" * 32,
    "plan_sha256": hashlib.sha256(b"an engine").hexdigest(),
}


def write_plan(folder: Path, **changes: Any) -> Path:
    plan = folder / "model.plan"
    plan.write_bytes(b"an engine")
    (folder / "model.plan.json").write_text(json.dumps({**FACTS, **changes}))
    return plan


@pytest.mark.skipif(HAS_DRIVER, reason="this machine has an NVIDIA driver")
def test_without_a_card_the_error_says_so_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"NVIDIA card.*libcuda.*ONNX file"):
        Encoder(write_plan(tmp_path))


def test_a_plan_needs_its_sidecar(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    (tmp_path / "model.plan.json").unlink()
    with pytest.raises(ModelFileError, match=r"model\.plan\.json: no such file.*to_tensorrt"):
        Encoder(plan)
    with pytest.raises(ModelFileError, match=r"none\.plan: no such file"):
        Encoder(tmp_path / "none.plan")


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("rubbish", ModelFileError, "not the sidecar"),
        ("5", ModelFileError, "not the sidecar"),
        ("{}", ModelFileError, "lacks contract, library"),
        (json.dumps({**FACTS, "contract": {}}), ContractError, "format version"),
    ],
)
def test_a_bad_sidecar(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    plan = write_plan(tmp_path)
    (tmp_path / "model.plan.json").write_text(text)
    with pytest.raises(error, match=says):
        Encoder(plan)


def test_a_plan_runs_on_no_cpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="auto, tensorrt"):
        Encoder(write_plan(tmp_path), device="cpu")


@pytest.mark.skipif(HAS_DRIVER, reason="this machine has an NVIDIA driver")
def test_doctor_says_what_a_plan_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-m", str(write_plan(tmp_path))]) == 1
    printed = capsys.readouterr()
    assert "model.plan: failed" in printed.out
    assert "a TensorRT plan needs an NVIDIA card" in printed.err


def test_info_reads_the_sidecar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(write_plan(tmp_path)), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["library_version"], facts["bits"]) == ("10.16.1.11", 12)


# -- behind a driver: a stand-in for the card, to follow the calls as they are documented ----------


#: Tensors of the tiny model as an engine names them; -1 is the free N.
SHAPES = {
    "images": (-1, 32, 32, 3),
    "codes": (-1, 2),
    "activations": (-1, 12),
    "saliency": (-1, 32, 32),
}


class Card:
    """Device memory as host arrays; the "engine" is this object too."""

    def __init__(self, *, refuses: str = "", shapes: dict[str, tuple[int, ...]] = SHAPES) -> None:
        self.refuses = refuses
        self.shapes = shapes
        self.memory: dict[int, bytearray] = {}
        self.addresses: dict[str, int] = {}
        self.batches: list[tuple[int, ...]] = []

    def compute_capability(self) -> str:
        return "9.0"

    def buffers(self, arrays: dict[str, Any]) -> Any:
        import contextlib

        @contextlib.contextmanager
        def block() -> Any:
            held = {name: 1000 * (i + 1) for i, name in enumerate(arrays)}
            for name, address in held.items():
                self.memory[address] = bytearray(arrays[name].nbytes)
            try:
                yield held
            finally:
                for address in held.values():
                    del self.memory[address]

        return block()

    def copy(self, to: int, source: int, size: int, direction: int) -> None:
        import ctypes

        if direction == cuda_runtime.HOST_TO_DEVICE:
            self.memory[to][:] = ctypes.string_at(source, size)
        else:
            ctypes.memmove(to, bytes(self.memory[source]), size)

    def synchronize(self) -> None:
        pass

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name == "images"
        self.batches.append(shape)
        return self.refuses != "set_input_shape"

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.refuses != "set_tensor_address"

    def execute_async_v3(self, stream: int) -> bool:
        if self.refuses == "execute_async_v3":
            return False
        count = self.batches[-1][0]
        images = np.frombuffer(self.memory[self.addresses["images"]], np.uint8)
        codes = images.reshape(count, -1)[:, :2]
        self.memory[self.addresses["codes"]][:] = codes.tobytes()
        return True


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Card], Card]:
    """Put a card and its library into this machine."""

    class Logger:
        WARNING = 2

        def __init__(self, level: int) -> None: ...

    def plug(card: Card) -> Card:
        engine = SimpleNamespace(
            create_execution_context=lambda: None if card.refuses == "context" else card,
            num_io_tensors=len(card.shapes),
            get_tensor_name=lambda i: list(card.shapes)[i],
            get_tensor_shape=card.shapes.__getitem__,
        )
        library = SimpleNamespace(
            __version__="10.16.1.11",
            Logger=Logger,
            Runtime=lambda _: SimpleNamespace(deserialize_cuda_engine=lambda plan: engine),
        )
        monkeypatch.setattr(tensorrt_session, "driver_error", lambda: None)
        monkeypatch.setattr(tensorrt_session, "CudaRuntime", lambda: card)
        monkeypatch.setattr(tensorrt_library.importlib, "import_module", lambda _: library)
        return card

    return plug


@pytest.mark.parametrize(
    ("least", "batches"), [(1, [4, 2, 4, 2, 2]), (3, [4, 3, 4, 3, 3]), (4, [4] * 5)]
)
def test_batches_go_through_the_profile_and_come_back_in_order(
    tmp_path: Path, plugged: Callable[[Card], Card], least: int, batches: list[int]
) -> None:
    card = plugged(Card())
    plan = write_plan(tmp_path, profile={"min": least, "opt": 4, "max": 4})
    with Encoder(plan, batch_size=6) as encoder:
        assert encoder.provider == "TensorRT"
        pictures = [np.full((32, 32, 3), i, np.uint8) for i in range(14)]
        codes = encoder.encode(pictures)
    np.testing.assert_array_equal(codes, np.repeat(np.arange(14, dtype=np.uint8)[:, None], 2, 1))
    assert [shape[0] for shape in card.batches] == batches
    assert not card.memory, "all device memory was given back"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("set_input_shape", r"refuses pictures of shape \(1, 32, 32, 3\)"),
        ("set_tensor_address", "has no tensor 'images'"),
        ("execute_async_v3", "failed on 1 pictures"),
    ],
)
def test_a_call_that_returns_false_is_an_error(
    tmp_path: Path, plugged: Callable[[Card], Card], call: str, says: str
) -> None:
    card = plugged(Card(refuses=call))
    with (
        Encoder(write_plan(tmp_path)) as encoder,
        pytest.raises(ModelFileError, match=f"{says}; build it again"),
    ):
        encoder.encode(np.zeros((32, 32, 3), np.uint8))
    assert not card.memory, "all device memory was given back"


@pytest.mark.parametrize(
    "shapes",
    [
        SHAPES | {"codes": (-1, 3)},
        SHAPES | {"images": (-1, 64, 64, 3)},
        {name: shape for name, shape in SHAPES.items() if name != "saliency"},
        SHAPES | {"vector": (-1, 12)},
    ],
)
def test_an_engine_of_other_tensors_never_writes_to_memory_sized_for_these(
    tmp_path: Path, plugged: Callable[[Card], Card], shapes: dict[str, tuple[int, ...]]
) -> None:
    plugged(Card(shapes=shapes))
    with pytest.raises(ModelFileError, match="are not those of its sidecar"):
        Encoder(write_plan(tmp_path))


def test_a_card_without_memory_for_a_context_is_named(
    tmp_path: Path, plugged: Callable[[Card], Card]
) -> None:
    plugged(Card(refuses="context"))
    with pytest.raises(DeviceError, match="no execution context"):
        Encoder(write_plan(tmp_path))


def test_a_plan_that_was_changed_never_reaches_tensorrt(
    tmp_path: Path, plugged: Callable[[Card], Card]
) -> None:
    plugged(Card())
    plan = write_plan(tmp_path)
    plan.write_bytes(b"AN ENGINE")
    with pytest.raises(ModelFileError, match="damaged, or not the plan"):
        Encoder(plan)


@pytest.mark.parametrize(
    "profile",
    [{}, 5, {"min": 1}, {"min": 0, "max": 4}, {"min": 5, "max": 4}, {"min": "a", "max": 4}],
)
def test_an_impossible_profile_is_refused(
    tmp_path: Path, plugged: Callable[[Card], Card], profile: object
) -> None:
    plugged(Card())
    with pytest.raises(ModelFileError, match="expected 1 <= min <= max"):
        Encoder(write_plan(tmp_path, profile=profile))


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"library_version": "9.1"}, ModelFileError, "built by tensorrt 9.1, installed is 10"),
        ({"compute_capability": "8.6"}, ModelFileError, "compute capability 8.6, this card has"),
        ({"library": "other"}, ModelFileError, "allowed: tensorrt"),
    ],
)
def test_a_plan_for_something_else_asks_to_be_built_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    error: type[Exception],
    says: str,
) -> None:
    library = SimpleNamespace(__version__="10.16.1.11")
    monkeypatch.setattr(tensorrt_session, "driver_error", lambda: None)
    monkeypatch.setattr(tensorrt_session, "CudaRuntime", lambda: Card())
    monkeypatch.setattr(tensorrt_library.importlib, "import_module", lambda _: library)
    with pytest.raises(error, match=says):
        Encoder(write_plan(tmp_path, **changes))


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_session, "driver_error", lambda: None)
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r"\.\[tensorrt\]"):
            Encoder(write_plan(tmp_path))
    else:
        pytest.skip("tensorrt is installed")


def test_the_wheels_of_the_rtx_library_are_found_by_their_own_name() -> None:
    """They install ``tensorrt_rtx_bindings``; ``tensorrt_rtx`` is an alias of another package."""
    bindings = pytest.importorskip("tensorrt_rtx_bindings")
    module, library = tensorrt_library.import_tensorrt("tensorrt_rtx")
    assert library == "tensorrt_rtx"
    assert module.__version__ == bindings.__version__
    assert module.Runtime is bindings.Runtime


def test_a_plan_of_the_rtx_library_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its real module is imported, and refused for its version before it can meet the card."""
    bindings = pytest.importorskip("tensorrt_rtx_bindings")
    monkeypatch.setattr(tensorrt_session, "driver_error", lambda: None)
    plan = write_plan(tmp_path, library="tensorrt_rtx", library_version="0.1")
    with pytest.raises(ModelFileError, match=f"installed is {bindings.__version__}"):
        Encoder(plan)


def test_a_library_from_before_strong_typing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(__version__="8.6.1")
    monkeypatch.setattr(tensorrt_library.importlib, "import_module", lambda _: old)
    with pytest.raises(MissingDependencyError, match=r"version 8\.6\.1, needed: 10 or newer"):
        tensorrt_library.import_tensorrt("tensorrt")


def test_a_library_that_is_not_known_is_refused() -> None:
    with pytest.raises(UsageError, match="allowed: tensorrt, tensorrt_rtx"):
        tensorrt_library.import_tensorrt("tensorflow")
