"""A trained checkpoint as one serialised, self-contained ONNX model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings

import onnx
import torch

from dsah_infer.contract import CodeContract
from dsah_infer.errors import UsageError
from dsah_infer.onnx_file import seal
from dsah_train.models import Hasher
from export.graph import FusedEncoder

__all__ = ["OPSETS", "fused_model", "serialise"]

#: Below 18 the exporter writes 18 whatever is asked for, beyond 25 it fails and TensorRT ends.
OPSETS = range(18, 26)


def fused_model(
    model: Hasher, contract: CodeContract, *, opset: int = 20, clean: bool = True
) -> onnx.ModelProto:
    """Export the fused graph: ``images`` to ``codes``, ``activations`` and ``saliency``.

    Args:
        model: The network, in eval mode, on the CPU.
        contract: What its codes mean; ``has_saliency`` decides about the third output.
        opset: ONNX operator set in `OPSETS`; every runtime of the docs reads 20.
        clean: Fold constants and merge equal nodes; without it the graph is as it was traced.

    Raises:
        UsageError: An opset that is not tested.
    """
    if opset not in OPSETS:
        raise UsageError(
            f"--opset {opset}; allowed: {OPSETS.start} to {OPSETS.stop - 1}, 20 suits every runtime"
        )
    fused = FusedEncoder(model, contract).eval()
    size = contract.pixels.size
    # Two pictures: a dimension that is 1 while tracing would be taken for a constant.
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    outputs = ["codes", "activations", "saliency"][: 3 if contract.has_saliency else 2]
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            fused,
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            external_data=False,
            optimize=clean,
            verbose=False,
        )
    assert program is not None  # only with `fallback`, which is not asked for
    return _bare(program.model_proto)


def serialise(model: onnx.ModelProto, contract: CodeContract) -> bytes:
    """The bytes of the file: the model with its contract and fingerprint."""
    return seal(model.SerializeToString(deterministic=True), contract)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about the source: stack traces carry paths of this machine."""
    graph = model.graph
    graph.name = "dsah"
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info,
                 *graph.initializer):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]
    return model


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Without the exporter's notes on torchvision's operators and on its own deprecations."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
