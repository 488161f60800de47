"""The int8 graph for CPUs: the same numbers before rounding, and bytes all the way after it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from dsah_train.checkpoint import Checkpoint
from export.byte_input import PIXELS, feed_bytes
from export.gate import Budget
from export.int8_layout import scores_as_products, share_concat_scales
from export.onnx_model import fused_model
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx
from tests.export.tiny_models import SIZE, write_checkpoint

LOOSE = Budget(max_flip_rate=0.3)
#: First convolutions without padding, with it, with wide filters; attention on a smaller picture.
NETWORKS: dict[str, dict[str, object]] = {
    "squeezenet": {},
    "resnet18": {"backbone": "resnet18"},
    "alexnet": {"backbone": "alexnet"},
    "mobilenet": {"backbone": "mobilenet_v3_small"},
    "paper": {"backbone": "vgg16"},
    "half": {"attention_scale": 0.5},
}


def outputs(model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


@pytest.mark.parametrize(
    "network",
    [
        "squeezenet",
        "alexnet",
        "half",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet18", "mobilenet", "paper")),
    ],
)
def test_weights_take_the_place_of_normalisation(network: str, tmp_path: Path) -> None:
    """Borders included: a filter over the edge must see the mean colour, as before."""
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", **NETWORKS[network])
    if network == "alexnet":  # as at the start of training: the exporter then drops the bias
        torch.nn.init.zeros_(checkpoint.model.attention.score_fine.bias)
    before = fused_model(checkpoint.model, checkpoint.contract)
    after = onnx.ModelProto.FromString(before.SerializeToString())
    assert feed_bytes(after, checkpoint.contract.pixels)
    scores_as_products(after)
    onnx.checker.check_model(after, full_check=True)
    images = fixed_pictures(SIZE, 6)
    want, got = outputs(before, images), outputs(after, images)
    for name in set(want) - {"codes"}:
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(got[name], want[name], atol=2e-5 * scale, err_msg=name)
    np.testing.assert_array_equal(got["codes"], want["codes"])


def test_pixels_that_are_mixed_with_constants_stay_normalised(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", mask_space="pixel")
    model = fused_model(checkpoint.model, checkpoint.contract)
    before = model.SerializeToString()
    assert not feed_bytes(model, checkpoint.contract.pixels)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("network", ["half", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_every_kind_of_input_quantises(network: str, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", **NETWORKS[network])
    recipe = Recipe("int8", calibration=fixed_pictures(SIZE, 8))
    export_onnx(checkpoint, tmp_path / "m.onnx", recipe, budget=LOOSE)
    kinds = Counter(n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node)
    assert not kinds["Cast"] > 2  # of the bits and of the code; none of the picture


def test_bytes_stay_bytes_in_what_onnxruntime_makes_of_it(
    dsah: tuple[Checkpoint, Path], int8_recipe: Recipe, tmp_path: Path
) -> None:
    export_onnx(dsah[0], tmp_path / "m.onnx", int8_recipe, budget=LOOSE)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(tmp_path / "m.onnx", options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["QLinearConv"] == 50  # each layer of both trunks
    assert kinds["QLinearConcat"] == 16
    assert kinds["Conv"] == 0  # the scores are products
    assert kinds["QuantizeLinear"] == 1  # the masked picture
    # The pixels for the mask, two maps for scores, the last map for its mean.
    assert kinds["DequantizeLinear"] == 4
    made = {name: node for node in graph.node for name in node.output}
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "QLinearConcat":  # the result's, then each part's
            scales = [node.input[0], *node.input[3::3]]
            assert len({float(values[s]) for s in scales}) == 1
    first = next(node for node in graph.node if node.op_type == "QLinearConv")
    source = made[first.input[0]]
    while source.op_type in ("Transpose", "Reshape", "Pad"):
        source = made.get(source.input[0], source)
        if source.input[0] == "images":
            break
    assert source.input[0] == "images"  # nothing but moves between picture and convolution


def concat_graph(*, second_reader: bool) -> onnx.ModelProto:
    """Two quantised maps that are concatenated; the first may be read by something else too."""
    scales = {"a": 0.5, "b": 0.25, "c": 0.75}
    constants = [numpy_helper.from_array(np.float32(s), f"{k}_scale") for k, s in scales.items()]
    constants += [numpy_helper.from_array(np.uint8(0), f"{k}_zero") for k in scales]

    def rounded(source: str, key: str) -> list[onnx.NodeProto]:
        grid = [f"{key}_scale", f"{key}_zero"]
        return [
            helper.make_node("QuantizeLinear", [source, *grid], [f"{key}_q"]),
            helper.make_node("DequantizeLinear", [f"{key}_q", *grid], [f"{key}_dq"]),
        ]

    nodes = [*rounded("x", "a"), *rounded("y", "b")]
    nodes.append(helper.make_node("Concat", ["a_dq", "b_dq"], ["both"], axis=1))
    nodes += rounded("both", "c")
    outputs_of = ["c_dq"]
    if second_reader:
        nodes.append(helper.make_node("Neg", ["a_dq"], ["negative"]))
        outputs_of.append("negative")
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "concat",
        [helper.make_tensor_value_info(n, kind, [1, 2]) for n in ("x", "y")],
        [helper.make_tensor_value_info(n, kind, [1, None]) for n in outputs_of],
        constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize("second_reader", [False, True])
def test_only_what_is_merely_concatenated_takes_the_results_scale(second_reader: bool) -> None:
    model = concat_graph(second_reader=second_reader)
    share_concat_scales(model)
    used = {node.input[0]: node.input[1] for node in model.graph.node if len(node.input) == 3}
    assert used["x"] == used["a_q"] == ("a_scale" if second_reader else "c_scale")
    assert used["y"] == used["b_q"] == "c_scale"


def test_the_pixels_keep_their_bytes(dsah: tuple[Checkpoint, Path], int8_recipe: Recipe) -> None:
    """What the quantiser puts between the picture's bytes and the first convolution is gone."""
    from export.quantize import quantize

    assert int8_recipe.calibration is not None
    graph = quantize(
        fused_model(dsah[0].model, dsah[0].contract), dsah[0].contract, int8_recipe.calibration
    ).graph
    readers = [node.op_type for node in graph.node if PIXELS in node.input]
    assert sorted(readers) == ["Conv", "Mul"]
