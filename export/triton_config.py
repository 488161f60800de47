"""``config.pbtxt`` of a Triton model, written from the graph and checked against it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import onnx

from dsah_infer.contract import CodeContract
from dsah_infer.errors import ExportError
from dsah_infer.onnx_file import ModelFile
from dsah_infer.session import output_shapes

__all__ = [
    "Tensor",
    "check_config",
    "check_pictures_config",
    "encoder_config",
    "graph_tensors",
    "pictures_config",
]

_TYPES = {
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
}


@dataclass(frozen=True)
class Tensor:
    """An input or output as Triton sees it.

    Attributes:
        name: Its name in the graph.
        kind: Triton's data type.
        dims: Shape without the batch dimension.
    """

    name: str
    kind: str
    dims: tuple[int, ...]


#: What the decode step takes: the bytes of one encoded picture per row.
_PICTURES = Tensor("pictures", "TYPE_STRING", (1,))


def graph_tensors(model: ModelFile) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of an exported graph, without their batch dimension.

    Raises:
        ExportError: A tensor whose first dimension is fixed: Triton batches only over tensors
            that all begin with a free one.
    """
    graph = onnx.ModelProto.FromString(model.data).graph
    return [_tensor(v) for v in graph.input], [_tensor(v) for v in graph.output]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dims = list(kind.shape.dim)
    if not dims or dims[0].HasField("dim_value") or kind.elem_type not in _TYPES:
        raise ExportError(
            f"{value.name!r} has a fixed first dimension or a type that no dsah graph has; export "
            "the model again with export/to_onnx.py"
        )
    return Tensor(value.name, _TYPES[kind.elem_type], tuple(d.dim_value for d in dims[1:]))


def encoder_config(name: str, model: ModelFile, *, plan: bool, max_batch: int) -> str:
    """Text of the encoder's configuration.

    Args:
        name: Folder of the model in the repository.
        model: The exported file that runs, or that the plan was built from.
        plan: Whether a TensorRT plan runs instead of the ONNX file.
        max_batch: Largest batch that Triton may assemble.
    """
    inputs, outputs = graph_tensors(model)
    platform = "tensorrt_plan" if plan else "onnxruntime_onnx"
    batches = [size for size in (4, 8, 16, 32) if size <= max_batch] or [max_batch]
    lines = [
        f'name: "{name}"',
        f'platform: "{platform}"',
        f"max_batch_size: {max_batch}",
        _block("input", inputs),
        _block("output", outputs),
        "dynamic_batching {",
        f"  preferred_batch_size: [ {', '.join(map(str, batches))} ]",
        "  max_queue_delay_microseconds: 2000",
        "}",
    ]
    return "\n".join(lines) + "\n"


def pictures_config(name: str, contract: CodeContract, *, max_batch: int) -> str:
    """Text of the configuration of the decode step and of the chain behind it."""
    outputs = [
        Tensor(out, "TYPE_UINT8" if out == "codes" else "TYPE_FP32", shape)
        for out, shape in output_shapes(contract).items()
    ]
    lines = [
        f'name: "{name}"',
        'backend: "python"',
        f"max_batch_size: {max_batch}",
        _block("input", [_PICTURES]),
        _block("output", outputs),
        "dynamic_batching { max_queue_delay_microseconds: 2000 }",
    ]
    return "\n".join(lines) + "\n"


def _block(what: str, tensors: list[Tensor]) -> str:
    entries = [
        f'  {{ name: "{t.name}" data_type: {t.kind} dims: [ {", ".join(map(str, t.dims))} ] }}'
        for t in tensors
    ]
    return f"{what} [\n" + ",\n".join(entries) + "\n]"


def check_config(text: str, model: ModelFile) -> None:
    """Compare the encoder's written configuration with the graph, tensor by tensor.

    Raises:
        ExportError: A tensor is missing, or has another type or shape.
    """
    inputs, outputs = graph_tensors(model)
    _compare(text, inputs, outputs)


def check_pictures_config(text: str, model: ModelFile) -> None:
    """Compare the decode step's written configuration: encoded pictures in, the graph's outputs.

    Raises:
        ExportError: A tensor is missing, or has another type or shape.
    """
    _compare(text, [_PICTURES], graph_tensors(model)[1])


def _compare(text: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    for what, wanted in (("input", inputs), ("output", outputs)):
        found = _read_block(text, what)
        if found != wanted:
            raise ExportError(f"config.pbtxt's {what}s {found} are not the graph's {wanted}")
    batch = re.search(r"max_batch_size: (\d+)", text)
    if batch is None or int(batch[1]) < 1:
        raise ExportError("config.pbtxt needs max_batch_size of at least 1: N is free in the graph")


def _read_block(text: str, what: str) -> list[Tensor]:
    block = re.search(rf"^{what} \[\n(.*?)\n\]", text, re.MULTILINE | re.DOTALL)
    pattern = r'\{ name: "(\w+)" data_type: (\w+) dims: \[ ([\d, ]*) \] \}'
    return [
        Tensor(name, kind, tuple(int(d) for d in dims.split(",")))
        for name, kind, dims in re.findall(pattern, block[1] if block else "")
    ]
