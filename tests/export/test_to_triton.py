"""Model repositories for Triton: the configuration fits the graph, and the decode step decodes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from dsah_infer import Encoder
from dsah_infer.errors import ExportError, ModelFileError, SpaceMismatchError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_infer.session import OnnxSession
from dsah_train.checkpoint import Checkpoint
from export.to_triton import export_repository, main
from export.triton_config import (
    Tensor,
    check_config,
    check_pictures_config,
    encoder_config,
    graph_tensors,
    pictures_config,
)


def test_the_repository(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    source = dsah[1] / "model.onnx"
    export_repository(source, tmp_path / "triton", max_batch=16)
    encoder = tmp_path / "triton/dsah_encoder"
    assert (encoder / "1/model.onnx").read_bytes() == source.read_bytes()
    text = (encoder / "config.pbtxt").read_text()
    assert 'platform: "onnxruntime_onnx"' in text
    assert "max_batch_size: 16" in text
    check_config(text, read_model(source))
    chain = (tmp_path / "triton/dsah/config.pbtxt").read_text()
    check_pictures_config(chain, read_model(source))
    export_repository(source, tmp_path / "triton", max_batch=8)  # replaces its own
    assert "max_batch_size: 8" in (encoder / "config.pbtxt").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["triton"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dims: [ 64, 64, 3 ]", "dims: [ 3, 64, 64 ]"),
        ("TYPE_UINT8 dims: [ 2 ]", "TYPE_FP32 dims: [ 2 ]"),
        ('name: "codes"', 'name: "hashes"'),
        ("max_batch_size: 4", "max_batch_size: 0"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    dsah: tuple[Checkpoint, Path], old: str, new: str
) -> None:
    model = read_model(dsah[1] / "model.onnx")
    text = encoder_config("m", model, plan=False, max_batch=4)
    assert old in text
    with pytest.raises(ExportError, match=r"config\.pbtxt"):
        check_config(text.replace(old, new), model)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("TYPE_STRING dims: [ 1 ]", "TYPE_UINT8 dims: [ 1 ]"),
        ("TYPE_FP32 dims: [ 12 ]", "TYPE_FP32 dims: [ 13 ]"),
        ('name: "saliency"', 'name: "attention"'),
    ],
)
def test_the_decode_steps_outputs_are_the_graphs(
    dsah: tuple[Checkpoint, Path], old: str, new: str
) -> None:
    model = read_model(dsah[1] / "model.onnx")
    text = pictures_config("m", model.contract, max_batch=4)
    check_pictures_config(text, model)
    assert old in text
    with pytest.raises(ExportError, match=r"config\.pbtxt"):
        check_pictures_config(text.replace(old, new), model)


def test_the_batch_dimension_is_left_to_triton(ordinal: tuple[Checkpoint, Path]) -> None:
    inputs, outputs = graph_tensors(read_model(ordinal[1] / "model.onnx"))
    assert inputs == [Tensor("images", "TYPE_UINT8", (64, 64, 3))]
    assert outputs == [
        Tensor("codes", "TYPE_UINT8", (2,)),
        Tensor("activations", "TYPE_FP32", (24,)),
    ]


def fake_plan(path: Path, onnx_file: Path, **facts: object) -> Path:
    model = read_model(onnx_file)
    path.write_bytes(b"a plan")
    digest = hashlib.sha256(b"a plan").hexdigest()
    record = {
        "contract": model.contract.to_json(),
        "library": "tensorrt",
        "library_version": "11.4",
        "compute_capability": "9.0",
        "precision": "fp32",
        "profile": {"min": 1, "opt": 4, "max": 8},
        "onnx_fingerprint": model.contract.fingerprint,
        "plan_sha256": digest,
    }
    path.with_name(path.name + ".json").write_text(json.dumps(record | facts))
    return path


def test_a_plan_is_served_only_if_it_fits(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    source, out = dsah[1] / "model.onnx", tmp_path / "triton"
    plan = fake_plan(tmp_path / "m.plan", source)
    export_repository(source, out, plan=plan, max_batch=8)
    assert (out / "dsah_encoder/1/model.plan").read_bytes() == b"a plan"
    assert 'platform: "tensorrt_plan"' in (out / "dsah_encoder/config.pbtxt").read_text()
    with pytest.raises(UsageError, match="batches of 1 to 8"):
        export_repository(source, out, plan=plan, max_batch=9)
    fake_plan(plan, source, onnx_fingerprint="other")
    with pytest.raises(SpaceMismatchError, match="built from the file other"):
        export_repository(source, out, plan=plan, max_batch=8)
    fake_plan(plan, source, library="tensorrt_rtx")
    with pytest.raises(UsageError, match="tensorrt only"):
        export_repository(source, out, plan=plan, max_batch=8)
    fake_plan(plan, source).write_bytes(b"another plan")
    with pytest.raises(ModelFileError, match="damaged, or not the plan"):
        export_repository(source, out, plan=plan, max_batch=8)
    with pytest.raises(ModelFileError, match="no such file"):
        export_repository(source, out, plan=tmp_path / "none.plan")


def test_a_foreign_folder_is_not_replaced(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    assert main([str(dsah[1] / "model.onnx"), "-o", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine/notes.txt").read_text() == "keep me"


def test_models_of_others_are_not_taken_along(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Triton serves a folder of many models: someone may have put theirs beside ours."""
    arguments = [str(dsah[1] / "model.onnx"), "-o", str(tmp_path / "triton")]
    assert main(arguments) == 0
    (tmp_path / "triton/resnet").mkdir()
    assert main(arguments) == 2
    assert "also holds resnet" in capsys.readouterr().err
    assert (tmp_path / "triton/resnet").is_dir()


def test_the_default_folder_hides_no_module_of_torch(
    dsah: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    """Beside a folder named triton, a Python that starts there takes it for the module."""
    model = tmp_path / "model.onnx"
    model.write_bytes((dsah[1] / "model.onnx").read_bytes())
    assert main([str(model)]) == 0
    made = {path.name for path in tmp_path.iterdir()} - {"model.onnx"}
    assert made == {"model_repository"}
    find = "import importlib.util as u; spec = u.find_spec('triton'); print(spec and spec.origin)"
    beside, elsewhere = (
        subprocess.run(
            [sys.executable, "-c", find], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        for folder in (tmp_path, tmp_path.parent)
    )
    assert beside == elsewhere


class PythonBackend(types.ModuleType):
    """Triton's Python interface as far as `triton_pictures` uses it, over onnxruntime."""

    def __init__(self, session: OnnxSession) -> None:
        super().__init__("triton_python_backend_utils")

        class Tensor:
            def __init__(self, name: str, values: np.ndarray) -> None:
                self.name, self.values = name, values

            def as_numpy(self) -> np.ndarray:
                return self.values

        class TritonError:
            def __init__(self, message: str) -> None:
                self.message = message

        class InferenceResponse:
            def __init__(self, output_tensors=(), error=None) -> None:
                self._tensors, self._error = list(output_tensors), error

            def has_error(self) -> bool:
                return self._error is not None

            def error(self) -> TritonError:
                return self._error

            def output_tensors(self) -> list[Tensor]:
                return self._tensors

        class InferenceRequest:
            def __init__(self, model_name=None, requested_output_names=(), inputs=()) -> None:
                self.model, self.names, self.inputs = model_name, requested_output_names, inputs

            def exec(self) -> InferenceResponse:
                assert self.model == "dsah_encoder"
                results = session.run(self.names, self.inputs[0].as_numpy())
                return InferenceResponse(
                    [Tensor(n, r) for n, r in zip(self.names, results, strict=True)]
                )

        self.Tensor, self.TritonError = Tensor, TritonError
        self.InferenceResponse, self.InferenceRequest = InferenceResponse, InferenceRequest
        self.get_input_tensor_by_name = lambda request, name: next(
            t for t in request.inputs if t.name == name
        )


def test_the_decode_step_gives_the_encoders_codes(
    dsah: tuple[Checkpoint, Path],
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = dsah[1] / "model.onnx"
    export_repository(source, tmp_path / "triton")
    backend = PythonBackend(OnnxSession(read_model(source), "cpu", 1))
    monkeypatch.setitem(sys.modules, backend.__name__, backend)
    folder = tmp_path / "triton/dsah"
    spec = importlib.util.spec_from_file_location("triton_model", folder / "1/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize({"model_repository": str(folder), "model_version": "1"})
    files = sorted(picture_folder.rglob("*.jpg"))[:5]
    pictures = np.array([[f.read_bytes()] for f in files], object)
    good = backend.InferenceRequest(inputs=[backend.Tensor("pictures", pictures)])
    bad = backend.InferenceRequest(
        inputs=[backend.Tensor("pictures", np.array([[b"not a picture"]], object))]
    )
    answer, refusal = model.execute([good, bad])
    model.finalize()
    codes = next(t.values for t in answer.output_tensors() if t.name == "codes")
    with Encoder(source, device="cpu", threads=1) as encoder:
        np.testing.assert_array_equal(codes, encoder.encode(files))
    assert refusal.has_error()
    assert "picture 0" in refusal.error().message
