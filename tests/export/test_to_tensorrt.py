"""Plans are really built, by TensorRT for RTX on the CPU; none is ever run here."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsah_infer.contract import CodeContract
from dsah_infer.errors import DeviceError, ExportError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_infer.tensorrt_library import import_tensorrt
from dsah_infer.tensorrt_session import TensorRtSession, read_sidecar
from dsah_train.checkpoint import Checkpoint
from dsah_train.config import METHODS
from export import to_tensorrt
from export.gate import Budget
from export.pictures import fixed_pictures
from export.tensorrt_builder import Profile, build_plan
from export.to_onnx import Recipe, export_onnx
from export.to_tensorrt import export_plan, main, sidecar_path
from tests.export.tiny_models import SIZE, method_checkpoint, write_checkpoint

pytest.importorskip("tensorrt_rtx_bindings", reason="needs the wheels of tensorrt-rtx-cu13")

LOOSE = Budget(max_flip_rate=0.5)


#: What an engine of TensorRT for RTX begins with.
MAGIC = b"vtrt"


@pytest.fixture(scope="module")
def checkpoint_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Checkpoint]:
    """The checkpoint of a method; each is made once."""
    folder = tmp_path_factory.mktemp("methods")
    return functools.cache(lambda method: method_checkpoint(folder / f"{method}.pt", method))


def method_param(method: str) -> object:
    """Fast for one method of each shape of graph, slow for the others."""
    fast = method in ("dsah", "doh", "dagh", "dpsh")
    return pytest.param(method, marks=[] if fast else [pytest.mark.slow])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("method", [method_param(method) for method in METHODS])
def test_every_method_builds_in_every_precision(
    checkpoint_of: Callable[[str], Checkpoint], tmp_path: Path, method: str, precision: str
) -> None:
    calibration = fixed_pictures(SIZE, 8) if precision == "int8" else None
    recipe = Recipe(precision, "tensorrt", calibration)
    budget = None if precision == "fp32" else LOOSE
    written = export_onnx(checkpoint_of(method), tmp_path / "m.onnx", recipe, budget=budget)
    assert export_plan(tmp_path / "m.onnx", tmp_path / "m.plan", Profile(1, 4, 16))
    content = (tmp_path / "m.plan").read_bytes()
    assert content[:4] == MAGIC
    assert len(content) > 10_000
    facts = read_sidecar(tmp_path / "m.plan")
    assert facts["contract"] == written.model.contract
    assert facts["precision"] == precision
    assert facts["profile"] == {"min": 1, "opt": 4, "max": 16}
    assert facts["onnx_fingerprint"] == written.model.contract.fingerprint


def test_a_plan_is_the_builders_bytes_and_nothing_else(
    ordinal: tuple[Checkpoint, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """trtexec and Triton read a serialised engine from its first byte to its last."""
    built = []

    def kept(*arguments: Any) -> bytes:
        built.append(build_plan(*arguments))
        return built[0]

    monkeypatch.setattr(to_tensorrt, "build_plan", kept)
    export_plan(ordinal[1] / "model.onnx", tmp_path / "m.plan")
    assert (tmp_path / "m.plan").read_bytes() == built[0]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "vgg16"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_backbone_builds(tmp_path: Path, backbone: str, precision: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone=backbone)
    recipe = Recipe(precision, "tensorrt", fixed_pictures(SIZE, 8))
    export_onnx(checkpoint, tmp_path / "m.onnx", recipe, budget=LOOSE)
    assert export_plan(tmp_path / "m.onnx", tmp_path / "m.plan")


def test_a_plan_that_fits_is_kept_and_any_other_is_rebuilt(
    ordinal: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    plan, source = tmp_path / "m.plan", ordinal[1] / "model.onnx"
    assert export_plan(source, plan)
    assert not export_plan(source, plan)
    assert export_plan(source, plan, Profile(1, 2, 4))
    facts = json.loads(sidecar_path(plan).read_text())
    for key, value in (("library_version", "0.1"), ("compute_capability", "1.0"),
                       ("onnx_fingerprint", "other"), ("plan_sha256", "other")):  # fmt: skip
        sidecar_path(plan).write_text(json.dumps(facts | {key: value}))
        assert export_plan(source, plan, Profile(1, 2, 4)), key
        again = json.loads(sidecar_path(plan).read_text())
        assert again | {"plan_sha256": ""} == facts | {"plan_sha256": ""}  # no two builds are equal
        assert again["plan_sha256"] == hashlib.sha256(plan.read_bytes()).hexdigest()
    sidecar_path(plan).write_text("{")
    assert export_plan(source, plan, Profile(1, 2, 4))
    plan.write_bytes(plan.read_bytes()[:-1])  # cut short, as by a copy onto a full disk
    assert export_plan(source, plan, Profile(1, 2, 4))
    assert not export_plan(source, plan, Profile(1, 2, 4))


def test_float32_stays_float32_on_a_card(
    ordinal: tuple[Checkpoint, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    trt, _ = import_tensorrt("tensorrt_rtx")
    seen = []

    class Builder(trt.Builder):  # type: ignore[misc]
        def build_serialized_network(self, network: Any, settings: Any) -> Any:
            seen.append(settings.get_flag(trt.BuilderFlag.TF32))
            return super().build_serialized_network(network, settings)

    fresh = trt.Builder(trt.Logger()).create_builder_config()
    assert fresh.get_flag(trt.BuilderFlag.TF32), "it is on unless one says otherwise"
    monkeypatch.setattr(trt, "Builder", Builder)
    assert build_plan(trt, read_model(ordinal[1] / "model.onnx"), Profile())
    assert seen == [False]


def test_int8_for_the_cpu_is_refused_with_the_next_step(
    dsah: tuple[Checkpoint, Path], int8_recipe: Recipe, tmp_path: Path
) -> None:
    export_onnx(dsah[0], tmp_path / "m.onnx", int8_recipe, budget=LOOSE)
    with pytest.raises(ExportError, match="--precision int8 --target tensorrt"):
        export_plan(tmp_path / "m.onnx", tmp_path / "m.plan")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_the_sidecar_speaks_of_the_library(ordinal: tuple[Checkpoint, Path], tmp_path) -> None:
    trt, library = import_tensorrt("tensorrt_rtx")
    export_plan(ordinal[1] / "model.onnx", tmp_path / "m.plan", library="tensorrt_rtx")
    facts = json.loads(sidecar_path(tmp_path / "m.plan").read_text())
    assert (facts["library"], facts["library_version"]) == (library, trt.__version__)
    assert CodeContract.from_json(facts["contract"]).segments == 6


def test_a_plan_without_a_card_is_a_clear_error(
    ordinal: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    from dsah_infer.cuda_runtime import driver_error

    if not driver_error():
        pytest.skip("this machine has an NVIDIA driver")
    export_plan(ordinal[1] / "model.onnx", tmp_path / "m.plan")
    with pytest.raises(DeviceError, match="needs an NVIDIA card"):
        TensorRtSession(tmp_path / "m.plan")


@pytest.mark.parametrize("sizes", [(0, 1, 2), (4, 2, 8), (1, 8, 4)])
def test_an_impossible_profile_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="1 <= min <= opt <= max"):
        Profile(*sizes)


def test_the_command(ordinal: tuple[Checkpoint, Path], tmp_path: Path, capsys) -> None:
    source = str(ordinal[1] / "model.onnx")
    assert main([source, "-o", str(tmp_path / "m.plan"), "--max", "16"]) == 0
    assert "built; fp32" in capsys.readouterr().out
    assert main([source, "-o", str(tmp_path / "m.plan"), "--max", "16"]) == 0
    assert "already fits" in capsys.readouterr().out
    capsys.readouterr()
    assert main([source, "-o", source]) == 2
    assert "end it with .plan" in capsys.readouterr().err
    assert read_model(source).contract.method == "doh", "the ONNX file was not replaced"
    assert main([source, "--min", "5", "--opt", "2"]) == 2
    assert main([str(tmp_path / "none.onnx")]) == 1
