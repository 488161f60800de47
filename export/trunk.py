"""Which nodes of a fused graph are its trunk: what may be computed in half or in int8.

The heads stay in float32: the hash layer, whose outputs are compared with zero, and the one
channel scores of the saliency map, whose range is stretched to [0, 1]. So does the packing.
"""

from __future__ import annotations

import onnx

__all__ = ["SHAPE_INPUTS", "drop_unused_weights", "trunk_names", "weights_of"]

_MATRIX = ("Conv", "Gemm", "MatMul")
#: What passes values of the trunk on as they are, and what rounds them anew.
_EXACT = ("Relu", "MaxPool", "Concat", "Clip", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
_ROUNDING = ("Add", "Mul", "HardSwish", "HardSigmoid", "Sigmoid", "ReduceMean",
             "GlobalAveragePool", "AveragePool")  # fmt: skip
#: Inputs that are shapes or axes, not numbers of the trunk.
SHAPE_INPUTS = {"Reshape": {1}, "Squeeze": {1}, "Unsqueeze": {1}, "ReduceMean": {1}}


def weights_of(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initialisers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def drop_unused_weights(model: onnx.ModelProto) -> None:
    """Remove initialisers that no node reads any more."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def trunk_names(model: onnx.ModelProto, activations: int) -> set[str]:
    """Names of the trunk's nodes: layers with weights that are no heads, and all between them.

    Args:
        model: A float32 graph of `export.onnx_model.fused_model`.
        activations: Width A of the hash layer.
    """
    nodes = list(model.graph.node)
    weights = weights_of(model)
    chosen: set[str] = set()
    produced: set[str] = set()
    for node in nodes:
        if node.op_type in _MATRIX:
            weight = weights.get(node.input[1])
            inside = weight is not None and not _is_head(node, weight, activations)
        else:
            skip = SHAPE_INPUTS.get(node.op_type, set())
            data = [x for i, x in enumerate(node.input) if x and i not in skip and x not in weights]
            inside = node.op_type in (*_EXACT, *_ROUNDING) and bool(data)
            inside = inside and all(name in produced for name in data)
        if inside:
            chosen.add(node.name)
            produced.update(node.output)
    # The last pooling feeds heads only: its mean is taken in float32.
    for node in reversed(nodes):
        if node.name in chosen and node.op_type in _ROUNDING:
            readers = [n.name for n in nodes if set(node.output) & set(n.input)]
            if not chosen & set(readers):
                chosen.discard(node.name)
    return chosen


def _is_head(node: onnx.NodeProto, weight: onnx.TensorProto, activations: int) -> bool:
    """Whether a layer has one output (a score, a byte) or is as wide as the hash layer."""
    if node.op_type == "Conv":
        return bool(weight.dims[0] == 1)
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return weight.dims[0 if transposed else -1] in (1, activations)
