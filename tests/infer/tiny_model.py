"""A small real model in ONNX, built by hand: every part of an exported graph, no torch needed.

Cast, normalise, convolve, weigh by a min-max saliency, pool, project, compare, pack. Weights are
seeded; biases put the activations of natural pictures around zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dsah_infer.contract import CodeContract, PixelRule
from dsah_infer.onnx_file import seal

SIZE = 32
CHANNELS = 8


def tiny_contract(bits: int = 12, *, saliency: bool = True, seed: int = 0) -> CodeContract:
    return CodeContract(
        method="dsah" if saliency else "dpsh",
        bits=bits,
        has_saliency=saliency,
        pixels=PixelRule(size=SIZE),
        class_names=("round", "square"),
        metrics={"map": 0.5},
        space=f"tiny-{bits}-{seed}",
    )


def tiny_proto(contract: CodeContract, seed: int = 0) -> ModelProto:
    """The graph of ``contract`` for S = 32, without its metadata."""
    rng = np.random.default_rng(seed)
    bits, size, width = contract.bits, contract.pixels.size, contract.code_bytes
    features = CHANNELS * 16
    projection = rng.normal(size=(features, bits)).astype(np.float32)
    constants = {
        "mean": np.array(contract.pixels.mean, np.float32).reshape(1, 3, 1, 1),
        "std": np.array(contract.pixels.std, np.float32).reshape(1, 3, 1, 1),
        "scale": np.float32(1 / 255),
        "kernel": rng.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32) / 5,
        "look": np.abs(rng.normal(size=(1, CHANNELS, 1, 1))).astype(np.float32),
        "projection": projection - projection.mean(axis=0),
        "bias": (rng.normal(size=bits) / 10).astype(np.float32),
        "zero": np.float32(0),
        "eps": np.float32(1e-6),
        "flat": np.array([-1, features], np.int64),
        "pads": np.array([0, 0, 0, width * 8 - bits], np.int64),
        "bytes": np.array([-1, width, 8], np.int64),
        "powers": (2.0 ** np.arange(7, -1, -1)).astype(np.float32).reshape(8, 1),
        "last": np.array([2], np.int64),
        "channel": np.array([1], np.int64),
        "plane": np.array([1, 2, 3], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        node("Mul", ["planes", "scale"], ["unit"]),
        node("Sub", ["unit", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["normal"]),
        node("Conv", ["normal", "kernel"], ["raw"], pads=[1, 1, 1, 1]),
        node("Relu", ["raw"], ["features"]),
        node("Conv", ["features", "look"], ["heat"]),
        node("ReduceMin", ["heat", "plane"], ["low"], keepdims=1),
        node("ReduceMax", ["heat", "plane"], ["high"], keepdims=1),
        node("Sub", ["heat", "low"], ["above"]),
        node("Sub", ["high", "low"], ["range"]),
        node("Max", ["range", "eps"], ["span"]),
        node("Div", ["above", "span"], ["attention"]),
        node("Mul", ["features", "attention"], ["attended"]),
        node("AveragePool", ["attended"], ["pooled"], kernel_shape=[size // 4] * 2,
             strides=[size // 4] * 2),
        node("Reshape", ["pooled", "flat"], ["vector"]),
        node("Gemm", ["vector", "projection", "bias"], ["activations"]),
        node("GreaterOrEqual", ["activations", "zero"], ["set"]),
        node("Cast", ["set"], ["ones"], to=TensorProto.FLOAT),
        node("Pad", ["ones", "pads"], ["padded"]),
        node("Reshape", ["padded", "bytes"], ["eights"]),
        node("MatMul", ["eights", "powers"], ["sums"]),
        node("Squeeze", ["sums", "last"], ["values"]),
        node("Cast", ["values"], ["codes"], to=TensorProto.UINT8),
    ]  # fmt: skip
    outputs = [
        helper.make_tensor_value_info("codes", TensorProto.UINT8, ["n", width]),
        helper.make_tensor_value_info("activations", TensorProto.FLOAT, ["n", bits]),
    ]
    if contract.has_saliency:
        nodes.append(node("Squeeze", ["attention", "channel"], ["saliency"]))
        outputs.append(
            helper.make_tensor_value_info("saliency", TensorProto.FLOAT, ["n", size, size])
        )
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", size, size, 3])],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_tiny_model(
    path: Path, bits: int = 12, *, saliency: bool = True, seed: int = 0, **contract: object
) -> Path:
    """Write a sealed tiny model; ``contract`` replaces fields of its code contract."""
    terms = tiny_contract(bits, saliency=saliency, seed=seed).replace(**contract)
    path.write_bytes(seal(tiny_proto(terms, seed).SerializeToString(), terms))
    return path
