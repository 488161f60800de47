"""The fused graph with an int8 trunk: static QDQ, percentile calibration, heads in float32.

One file does not suit all: for a CPU unsigned activations with signed weights (u8s8) let Relu
fold into its convolution; TensorRT takes symmetric s8s8 and no quantised bias only.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from dsah_infer.contract import CodeContract
from export.byte_input import PIXELS, ZERO, feed_bytes
from export.int8_layout import drop_pixel_rounding, scores_as_products, share_concat_scales
from export.trunk import drop_unused_weights, trunk_names

__all__ = ["TARGETS", "quantize"]

TARGETS = ("cpu", "tensorrt")
_BATCH = 8
#: Operators with an int8 form; their neighbours keep float. Relu, Concat and pooling are listed so
#: that the trunk stays in int8 from convolution to convolution.
_OPERATORS = ["Conv", "Gemm", "Relu", "Concat", "MaxPool", "Add", "AveragePool"]


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Hands out a range of batches; onnxruntime keeps every tensor of a range in memory."""

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        self._batches = [images[at : at + _BATCH] for at in range(0, len(images), _BATCH)]
        self._left = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch = next(self._left, None)
        return None if batch is None else {"images": batch}


def quantize(
    model: onnx.ModelProto,
    contract: CodeContract,
    images: npt.NDArray[np.uint8],
    *,
    target: str = "cpu",
) -> onnx.ModelProto:
    """Quantise a float32 fused graph.

    Args:
        model: From `export.onnx_model.fused_model`.
        contract: Its pixel rule, and the width A of the hash layer, which stays in float32.
        images: Calibration pictures, uint8 (n, S, S, 3), n >= 1.
        target: ``cpu`` (u8s8) or ``tensorrt`` (symmetric s8s8, biases in float).
    """
    tensorrt = target == "tensorrt"
    options: dict[str, Any] = {"CalibStridedMinMax": 1}
    if tensorrt:
        options |= {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if not tensorrt:
        if feed_bytes(model, contract.pixels):
            byte = {"scale": np.array(1, np.float32), "zero_point": np.array(ZERO, np.uint8)}
            options["TensorQuantOverrides"] = {PIXELS: [byte]}
        scores_as_products(model)
        drop_unused_weights(model)
    chosen = sorted(trunk_names(model, contract.activations))
    model = onnx.shape_inference.infer_shapes(model)
    # The exporter has folded and simplified already; this says so to onnxruntime, which would
    # otherwise advise its own clean-up by a warning.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        out = Path(folder) / "quantized.onnx"
        quantize_static(
            model,
            out,
            _Pictures(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=_OPERATORS,
            activation_type=QuantType.QInt8 if tensorrt else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            nodes_to_quantize=chosen,
            extra_options=options,
        )
        quantized = onnx.load(out)
    if not tensorrt:
        drop_pixel_rounding(quantized)
        share_concat_scales(quantized)
    del quantized.graph.value_info[:]
    del quantized.metadata_props[:]
    return quantized
