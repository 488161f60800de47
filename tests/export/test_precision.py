"""fp16 and int8: what becomes small, what stays float, and how many bits that costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from dsah_infer.errors import ExportError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import Checkpoint
from export.gate import Budget
from export.half import halve
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx, main, parser
from export.trunk import trunk_names
from tests.export.tiny_models import SIZE, write_checkpoint

#: Random weights have no margins to speak of; these bounds say that int8 is int8, not that it is
#: good. Trained models are judged by the default budget.
LOOSE = Budget(max_flip_rate=0.3)


def fp32_graph(folder: Path) -> onnx.ModelProto:
    model = onnx.load(folder / "model.onnx")
    del model.metadata_props[:]
    return model


def test_the_trunk_is_all_but_the_heads(dsah: tuple[Checkpoint, Path]) -> None:
    model = fp32_graph(dsah[1])
    trunk = trunk_names(model, 12)
    outside = [n.op_type for n in model.graph.node if n.name not in trunk]
    # Two score layers of the attention, the hash layer, and the packing.
    assert outside.count("Conv") == 2
    assert outside.count("Gemm") == 1
    assert outside.count("MatMul") == 1
    assert not {"Relu", "MaxPool"} & set(outside)
    assert outside.count("Concat") == outside.count("Resize")  # sizes of the enlargements
    assert "ReduceMean" in outside


def test_residuals_are_trunk_but_the_sum_of_scores_is_not(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone="resnet18")
    export_onnx(checkpoint, tmp_path / "model.onnx", Recipe("fp16"), budget=LOOSE)
    model = onnx.load(tmp_path / "model.onnx")
    halves = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    inferred = onnx.shape_inference.infer_shapes(model)
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    adds = [kinds[n.output[0]] for n in model.graph.node if n.op_type == "Add"]
    # Six blocks of the attention trunk and eight of the hashing trunk.
    assert adds.count(TensorProto.FLOAT16) == 14
    assert adds.count(TensorProto.FLOAT) == 1
    assert len(halves) > 40


def test_half_rounds_each_weight_once_and_keeps_heads(dsah: tuple[Checkpoint, Path]) -> None:
    before = fp32_graph(dsah[1])
    after = halve(before, 12)
    onnx.checker.check_model(after, full_check=True)
    full = {t.name: numpy_helper.to_array(t) for t in before.graph.initializer}
    small = {t.name: t for t in after.graph.initializer if t.data_type == TensorProto.FLOAT16}
    for name, tensor in small.items():
        expected = full[name.removesuffix("_half")].astype(np.float16)
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected)
    assert len(small) == 100  # 50 convolutions with a bias each
    kept = {t.name for t in after.graph.initializer} - set(small)
    assert {name for name in kept if "hash" in name or "score" in name}
    assert [(o.name, o.type.tensor_type.elem_type) for o in after.graph.output] == [
        (o.name, o.type.tensor_type.elem_type) for o in before.graph.output
    ]


def test_half_refuses_weights_beyond_its_range(dsah: tuple[Checkpoint, Path]) -> None:
    model = fp32_graph(dsah[1])
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4 and t.dims[0] > 1)
    big = numpy_helper.to_array(tensor).copy()
    big.flat[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(big, tensor.name))
    with pytest.raises(ExportError, match="half ends at 65,504"):
        halve(model, 12)


def test_fp16_passes_its_gate_at_half_the_size(
    dsah: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    written = export_onnx(dsah[0], tmp_path / "m.onnx", Recipe("fp16"))
    contract = written.model.contract
    assert contract.precision == "fp16"
    assert contract.space == dsah[0].contract.space
    assert contract.fingerprint != dsah[0].contract.fingerprint
    assert len(written.model.data) < 0.6 * (dsah[1] / "model.onnx").stat().st_size
    assert written.parity.activation_gap > 0


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_int8_for_its_target(dsah: tuple[Checkpoint, Path], tmp_path: Path, target: str) -> None:
    recipe = Recipe("int8", target, fixed_pictures(SIZE, 16))
    written = export_onnx(dsah[0], tmp_path / "m.onnx", recipe, budget=LOOSE)
    assert len(written.model.data) < 0.4 * (dsah[1] / "model.onnx").stat().st_size
    model = onnx.load(tmp_path / "m.onnx")
    values = {t.name: t for t in model.graph.initializer}
    quantised = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    points = [numpy_helper.to_array(values[n.input[2]]) for n in quantised]
    wide = [t.name for t in model.graph.initializer if t.data_type == TensorProto.INT32]
    wide = [name for name in wide if name.endswith("bias_quantized")]
    if target == "tensorrt":  # symmetric, signed, biases in float
        assert all(p.dtype == np.int8 and not p.any() for p in points)
        assert not wide
    else:
        assert all(p.dtype == np.uint8 for p in points)
        assert len(wide) == 50
    gemm = next(n for n in model.graph.node if n.op_type == "Gemm")
    assert values[gemm.input[1]].data_type == TensorProto.FLOAT


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_int8_keeps_the_space_and_has_a_name_of_its_own(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, target: str
) -> None:
    recipe = Recipe("int8", target, fixed_pictures(SIZE, 16))
    contract = export_onnx(dsah[0], tmp_path / "m.onnx", recipe, budget=LOOSE).model.contract
    assert contract.precision == "int8"
    assert contract.space == dsah[0].contract.space
    known = {dsah[0].contract.fingerprint, read_model(dsah[1] / "model.onnx").contract.fingerprint}
    assert contract.fingerprint not in known


def test_the_command_judges_int8_by_map_on_the_data_that_calibrates(
    dsah: tuple[Checkpoint, Path],
    picture_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "m.onnx"
    arguments = [str(dsah[1] / "ckpt.pt"), "-o", str(out), "--precision", "int8"]
    arguments += ["--calibrate", str(picture_folder), "--max-flip-rate", "0.3"]
    assert main([*arguments, "--max-map-drop", "-1"]) == 1
    assert "MAP@all falls by" in capsys.readouterr().err
    assert not out.exists()
    assert main([*arguments, "--max-map-drop", "1"]) == 0
    assert "MAP@all: torch" in capsys.readouterr().out
    assert read_model(out).contract.precision == "int8"


def test_nothing_but_a_request_makes_int8() -> None:
    assert Recipe().precision == "fp32"
    assert parser().parse_args(["ckpt.pt"]).precision == "fp32"


def test_percentiles_cut_the_largest_values_off(
    dsah: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    """By minimum and maximum 127 steps would reach the largest value of each map."""
    images = fixed_pictures(SIZE, 16)
    export_onnx(dsah[0], tmp_path / "m.onnx", Recipe("int8", "tensorrt", images), budget=LOOSE)
    model = onnx.load(tmp_path / "m.onnx")
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    reach = {
        n.input[0]: 127 * float(values[n.input[1]])
        for n in model.graph.node
        if n.op_type == "QuantizeLinear" and n.input[0] not in values
    }
    seen = fp32_graph(dsah[1])
    made = {name for node in seen.graph.node for name in node.output}
    watched = sorted(set(reach) & made)
    assert len(watched) > 20
    del seen.graph.output[:]
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in watched)
    session = onnxruntime.InferenceSession(
        seen.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    calibrated = images[np.arange(len(images)) % 4 != 3]
    largest = [np.abs(v).max() for v in session.run(watched, {"images": calibrated})]
    cut = [reach[name] < 0.999 * top for name, top in zip(watched, largest, strict=True)]
    assert np.mean(cut) > 0.3  # small maps have no value beyond the percentile
    whole = [reach[name] < 1.01 * top for name, top in zip(watched, largest, strict=True)]
    assert all(whole)


def test_int8_is_judged_on_pictures_it_was_not_calibrated_on(
    dsah: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    recipe = Recipe("int8", calibration=fixed_pictures(SIZE, 16))
    written = export_onnx(dsah[0], tmp_path / "m.onnx", recipe, budget=LOOSE)
    assert written.parity.pictures == 4
    with pytest.raises(UsageError, match="at least two pictures"):
        export_onnx(dsah[0], tmp_path / "n.onnx", Recipe("int8"))
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
