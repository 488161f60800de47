"""The fused graph with bytes at its first convolutions, for int8 on a CPU.

Normalising 150,000 floats per picture only to make bytes of them again took a quarter of the int8
graph's time. A byte p of channel c stands for (p / 255 - mean_c) / std_c; the factor and the offset
are folded into the weights w of the convolution that reads it:

    w_c (p / 255 - mean_c) / std_c = w_c a_c (p - ZERO) + w_c a_c (ZERO - 255 mean_c),
    a_c = 1 / (255 std_c)

The second term has no picture in it, yet no bias can carry it: where a filter reaches over the
border it must vanish with the pixels. So each picture gets a fourth plane of the constant
ZERO + LIFT, and that term, divided by LIFT, becomes its weights. Padding with ZERO is then exact.
Four channels are also what onnxruntime's int8 convolutions want; with three they copy byte by byte.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from dsah_infer.contract import PixelRule
from export.trunk import weights_of

__all__ = ["BYTES", "PIXELS", "feed_bytes"]

#: The byte that stands for 0: near the middle, so that errors of rounded weights cancel out.
ZERO = 114
#: Height of the constant plane above ZERO: its weights come out about as large as the others.
LIFT = 32
#: The planes as bytes, uint8 (N, 4, S, S), and as numbers p - ZERO, float32 (N, 4, S, S).
BYTES, PIXELS = "pixel_bytes", "pixels"
_PROLOGUE = ["Cast", "Transpose", "Div", "Sub", "Div"]
#: What may stand between the pixels and a convolution: linear, and alike for every channel.
_LINEAR = ("Mul", "Resize")


def feed_bytes(model: onnx.ModelProto, rule: PixelRule) -> bool:
    """Replace normalisation by weights; computes the same numbers but for float rounding.

    Args:
        model: From `export.onnx_model.fused_model`; changed in place.
        rule: Size, mean and std.

    Returns:
        False, and the graph as it was, where something else than convolutions reads the pixels.
    """
    graph, weights = model.graph, weights_of(model)
    prologue = _prologue(graph)
    if not prologue:
        return False
    rest = [node for node in graph.node if node not in prologue]
    normalised = prologue[-1].output[0]
    convolutions = _readers(rest, normalised, weights)
    if convolutions is None:
        return False
    for node in convolutions:
        folded = _fold(numpy_helper.to_array(weights[node.input[1]]), rule)
        node.input[1] = _constant(graph, f"{node.input[1]}_of_bytes", folded)
    for node in rest:
        for i, name in enumerate(node.input):
            if name == normalised:
                node.input[i] = PIXELS
    del graph.node[:]
    graph.node.extend([*_planes(graph, rule.size), *rest])
    return True


def _prologue(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that normalise, as `export.graph.FusedEncoder` does; empty if they are others."""
    found: list[onnx.NodeProto] = []
    name = "images"
    for kind in _PROLOGUE:
        steps = [node for node in graph.node if name in node.input and node.op_type == kind]
        if len(steps) != 1:
            return []
        found.append(steps[0])
        name = steps[0].output[0]
    return found


def _readers(
    nodes: list[onnx.NodeProto], start: str, weights: dict[str, onnx.TensorProto]
) -> list[onnx.NodeProto] | None:
    """The convolutions over the pixels; None if anything else reads them."""
    found, pixels = [], {start}
    for node in nodes:
        reads = [i for i, name in enumerate(node.input) if name in pixels]
        if not reads or node.op_type == "Shape":  # a resize asks for N and for the channels
            continue
        if node.op_type == "Conv" and reads == [0] and weights[node.input[1]].dims[1] == 3:
            found.append(node)
        elif node.op_type in _LINEAR and not any(
            name in weights for name in node.input[:2] if name
        ):
            pixels.update(node.output)
        else:
            return None
    return found


def _fold(weight: npt.NDArray[np.float32], rule: PixelRule) -> npt.NDArray[np.float32]:
    """Weights (out, 3, h, w) over normalised channels to (out, 4, h, w) over p - ZERO."""
    mean, std = (np.array(v)[:, None, None] for v in (rule.mean, rule.std))
    scaled = weight.astype(np.float64) / (255 * std)
    constant = (scaled * (ZERO - 255 * mean)).sum(axis=1, keepdims=True) / LIFT
    return np.concatenate([scaled, constant], axis=1).astype(np.float32)


def _planes(graph: onnx.GraphProto, size: int) -> list[onnx.NodeProto]:
    """images uint8 (N, S, S, 3) to four planes.

    Flat (N, S * S, 3) first: a transpose of three axes is one that onnxruntime leaves where it is.
    """
    shapes = [("flat", [0, size * size, 3]), ("square", [0, 4, size, size])]
    flat, square = (_constant(graph, f"pixel_{k}", np.array(v)) for k, v in shapes)
    margin = _constant(graph, "pixel_margin", np.array([0, 0, 0, 0, 1, 0]))
    lifted = _constant(graph, "pixel_lifted", np.array(ZERO + LIFT, np.uint8))
    one = _constant(graph, "pixel_scale", np.array(1, np.float32))
    zero = _constant(graph, "pixel_zero", np.array(ZERO, np.uint8))
    return [
        helper.make_node("Reshape", ["images", flat], ["pixel_rows"], "node_pixel_rows"),
        helper.make_node("Transpose", ["pixel_rows"], ["pixel_planes"], "node_pixel_planes",
                         perm=[0, 2, 1]),
        helper.make_node("Pad", ["pixel_planes", margin, lifted], ["pixel_four"],
                         "node_pixel_four"),
        helper.make_node("Reshape", ["pixel_four", square], [BYTES], "node_pixel_bytes"),
        helper.make_node("DequantizeLinear", [BYTES, one, zero], [PIXELS], "node_pixels"),
    ]  # fmt: skip


def _constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[np.generic]) -> str:
    if name not in {tensor.name for tensor in graph.initializer}:
        graph.initializer.append(numpy_helper.from_array(value, name))
    return name
