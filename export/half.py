"""The fused graph with its trunk in float16 and everything before and after it in float32.

The precision is in the graph itself, as strongly typed TensorRT wants it. On a CPU onnxruntime
has no half kernels and computes these nodes in float32 on the rounded weights.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dsah_infer.errors import ExportError
from export.trunk import SHAPE_INPUTS, trunk_names, weights_of

__all__ = ["halve"]


def halve(model: onnx.ModelProto, activations: int) -> onnx.ModelProto:
    """A copy of a float32 fused graph with its trunk in half.

    Args:
        model: From `export.onnx_model.fused_model`.
        activations: Width A of the hash layer, which stays in float32.

    Raises:
        ExportError: A weight is beyond the range of half (65,504).
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    chosen = trunk_names(model, activations)
    weights = weights_of(model)
    produced = {name for node in graph.node if node.name in chosen for name in node.output}
    nodes: list[onnx.NodeProto] = []
    casts: dict[str, str] = {}
    constants: dict[str, TensorProto] = {}

    def cast(name: str, to: int, suffix: str) -> str:
        if name not in casts:
            casts[name] = f"{name}_{suffix}"
            nodes.append(
                helper.make_node("Cast", [name], [casts[name]], to=to, name=f"node_{casts[name]}")
            )
        return casts[name]

    for node in graph.node:
        half = node.name in chosen
        for i, name in enumerate(node.input):
            if not name or (half and i in SHAPE_INPUTS.get(node.op_type, ())):
                continue
            if half and name in weights:
                constants.setdefault(name, _half_weight(weights[name]))
                node.input[i] = constants[name].name
            elif half and name not in produced:
                node.input[i] = cast(name, TensorProto.FLOAT16, "half")
            elif not half and name in produced:
                node.input[i] = cast(name, TensorProto.FLOAT, "float")
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *constants.values()])
    return model


def _half_weight(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise ExportError(
            f"weight {tensor.name!r} reaches {np.abs(values).max():.3g}, half ends at 65,504; "
            "export with --precision fp32"
        )
    return numpy_helper.from_array(half, f"{tensor.name}_half")
