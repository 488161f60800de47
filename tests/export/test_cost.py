"""Parameters and MACs of a graph against those counted while torch runs the layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import Checkpoint
from export.cost import graph_cost, main
from export.to_onnx import Recipe, export_onnx
from tests.export.tiny_models import SIZE


def counted(checkpoint: Checkpoint) -> tuple[int, int]:
    """(parameters, MACs) of one picture: each output value costs one filter."""
    macs = parameters = 0

    def hook(layer: nn.Module, _: object, out: torch.Tensor) -> None:
        nonlocal macs, parameters
        macs += out[0].numel() * layer.weight[0].numel()
        # Of a normalised layer the rest is folded into these.
        parameters += sum(p.numel() for p in (layer.weight, layer.bias) if p is not None)

    layers = [m for m in checkpoint.model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    with torch.no_grad():
        checkpoint.model(torch.zeros(1, 3, SIZE, SIZE))
    for handle in handles:
        handle.remove()
    return parameters, macs


def test_cost_is_that_of_the_layers(dsah: tuple[Checkpoint, Path]) -> None:
    cost = graph_cost(read_model(dsah[1] / "model.onnx"))
    assert (cost.parameters, cost.macs) == counted(dsah[0])
    assert cost.layers == 53
    assert cost.size == (dsah[1] / "model.onnx").stat().st_size


def test_precision_changes_bytes_only(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    export_onnx(dsah[0], tmp_path / "m.onnx", Recipe("fp16"))
    full, half = (graph_cost(read_model(p)) for p in (dsah[1] / "model.onnx", tmp_path / "m.onnx"))
    assert (full.parameters, full.macs, full.layers) == (half.parameters, half.macs, half.layers)
    assert half.size < full.size


def test_the_command_prints_and_fails_clearly(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(dsah[1] / "model.onnx"), "--seconds", "0.05"]
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ms_per_image"] > 0
    assert main(arguments) == 0
    assert "MMAC" in capsys.readouterr().out
    assert main([str(tmp_path / "none.onnx")]) == 1
