"""What keeps an int8 graph in bytes between its convolutions, for onnxruntime on a CPU."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.byte_input import PIXELS
from export.trunk import weights_of

__all__ = ["drop_pixel_rounding", "scores_as_products", "share_concat_scales"]


def scores_as_products(model: onnx.ModelProto) -> None:
    """Turn each 1 x 1 convolution to one channel, a score, into a matrix product over channels.

    int8 convolutions keep channels last; so does this product, while a float convolution would
    have the map transposed and reordered first. The sums are the same.
    """
    weights, graph = weights_of(model), model.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or weight.dims[0] != 1 or list(weight.dims[2:]) != [1, 1]:
            nodes.append(node)
            continue
        out = node.output[0]
        column = numpy_helper.to_array(weight).reshape(-1, 1)
        axes = [(f"{out}_last_axis", -1), (f"{out}_channel_axis", 1)]
        graph.initializer.append(numpy_helper.from_array(column, f"{out}_weight"))
        graph.initializer.extend(numpy_helper.from_array(np.array([i]), name) for name, i in axes)
        steps = [
            ("Transpose", [node.input[0]], f"{out}_last", {"perm": [0, 2, 3, 1]}),
            ("MatMul", [f"{out}_last", f"{out}_weight"], f"{out}_product", {}),
        ]
        if len(node.input) > 2:  # the exporter drops a bias of zero
            steps.append(("Add", [f"{out}_product", node.input[2]], f"{out}_sum", {}))
        steps += [
            # A transpose would do too, but onnxruntime moves those to where they cost more.
            ("Squeeze", [steps[-1][2], axes[0][0]], f"{out}_map", {}),
            ("Unsqueeze", [f"{out}_map", axes[1][0]], out, {}),
        ]
        nodes += [
            helper.make_node(kind, inputs, [to], f"node_{to}", **more)
            for kind, inputs, to, more in steps
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def drop_pixel_rounding(model: onnx.ModelProto) -> None:
    """Let convolutions over the pixels read the bytes that the pixels came from.

    The quantiser rounds every input of a convolution; with the scale 1 and the zero point of
    `export.byte_input` this one gives the same bytes back.
    """
    graph = model.graph
    rounded = {n.output[0] for n in _quantisers(graph) if n.input[0] == PIXELS}
    again = {n.output[0] for n in _dequantisers(graph) if n.input[0] in rounded}
    kept = [node for node in graph.node if not {*node.output} & (rounded | again)]
    for node in kept:
        for i, name in enumerate(node.input):
            if name in again:
                node.input[i] = PIXELS
    del graph.node[:]
    graph.node.extend(kept)


def share_concat_scales(model: onnx.ModelProto) -> None:
    """Quantise what is only concatenated by the scale of the result: bytes are then copied.

    The result's range covers its parts', and rounding twice was no better than once.
    """
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    for node in graph.node:
        results = readers[node.output[0]]
        if node.op_type != "Concat" or [n.op_type for n in results] != ["QuantizeLinear"]:
            continue
        for back in (made[name] for name in node.input if name in made):
            if back.op_type != "DequantizeLinear" or back.input[0] not in made:
                continue
            # A part that something else reads too has biases made for its own scale there.
            if len(readers[back.input[0]]) == len(readers[back.output[0]]) == 1:
                for step in (made[back.input[0]], back):
                    step.input[1], step.input[2] = results[0].input[1:3]


def _quantisers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == "QuantizeLinear"]


def _dequantisers(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == "DequantizeLinear"]
