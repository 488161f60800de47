"""What clean-ups of a graph save that change no bit: before and after, side by side."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.encoding.engines import measure_engines
from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import Checkpoint, contract_of
from dsah_train.config import Config
from dsah_train.encode import Codes
from dsah_train.models import build_model
from dsah_train.ordinal import Branches, OrdinalHasher
from export.cost import graph_cost
from export.onnx_model import fused_model, serialise
from export.parity import run_onnx
from export.pictures import BATCHES, fixed_pictures

__all__ = ["TwoTrunks", "measure_cleanups"]


class TwoTrunks(OrdinalHasher):
    """DOH as two networks, each branch behind a trunk of its own that has the same weights."""

    second: nn.Module

    def branches(self, images: Tensor) -> Branches:
        """Images (N, 3, S, S) to activations, class logits and attention."""
        whole = self.global_branch(self.classifier(self.trunk(images)).float())
        assert self.local is not None
        feature, logits, attention = self.local(self.second(images))
        h = whole.activations + self.hash_local(feature).float()
        return Branches(h, (*whole.logits, logits), attention)


def measure_cleanups(trained: Checkpoint, folder: Path, *, rounds: int) -> list[dict[str, Any]]:
    """Time and weigh graphs before and after: constants folded, DOH's trunk run once.

    Args:
        trained: The network whose constants are folded.
        folder: Where the files go.
        rounds: Turns of each file.

    Returns:
        One record per file: ``nodes``, ``parameters``, ``MACs``, ``bytes``, ``ms`` at batch 1 on
        one thread, and whether codes and activations are ``identical`` to the file before, bit by
        bit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    method = trained.config.method
    doh = untrained_doh(trained.config.image_size)
    graphs = {
        f"{method}, as traced": (trained, False),
        f"{method}, constants folded": (trained, True),
        "doh, a trunk for each branch": (with_two_trunks(doh), True),
        "doh, one trunk": (doh, True),
    }
    files = {}
    for label, (checkpoint, clean) in graphs.items():
        files[label] = folder / f"{label.replace(', ', '-').replace(' ', '-')}.onnx"
        graph = fused_model(checkpoint.model, checkpoint.contract, clean=clean)
        files[label].write_bytes(serialise(graph, checkpoint.contract))
    timed = measure_engines(
        {label: ("onnx", path) for label, path in files.items()},
        batches=(1,), threads=(1,), rounds=rounds,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    before: Codes | None = None
    for at, row in enumerate(timed):
        model = read_model(files[row["engine"]])
        cost = graph_cost(model)
        codes = run_onnx(model, fixed_pictures(model.contract.pixels.size), batches=BATCHES)
        same = "" if at % 2 == 0 or before is None else _identical(before, codes)
        before = codes
        figures = {"nodes": cost.nodes, "parameters": cost.parameters, "MACs": cost.macs,
                   "bytes": cost.size}  # fmt: skip
        rows.append(
            {"graph": row["engine"], **figures, "ms": 1e3 / row["images_per_second"],
             "identical": same}
        )  # fmt: skip
    return rows


def untrained_doh(size: int) -> Checkpoint:
    """DOH on SqueezeNet with random weights: which numbers it computes does not matter here."""
    torch.manual_seed(0)
    config = Config(method="doh", image_size=size, train_size=size)
    model = build_model(config, 17).eval()
    contract = contract_of(config, tuple(map(str, range(17))), model, {})
    return Checkpoint(model, config, contract.replace(space="untrained-doh"), {})


def with_two_trunks(doh: Checkpoint) -> Checkpoint:
    """The same weights, run as `TwoTrunks`."""
    model = copy.deepcopy(doh.model)
    model.__class__ = TwoTrunks
    model.second = copy.deepcopy(model.trunk)
    return Checkpoint(model, doh.config, doh.contract, {})


def _identical(a: Codes, b: Codes) -> str:
    codes = np.array_equal(a.codes, b.codes)
    values = np.array_equal(a.activations, b.activations)
    return "codes and activations" if codes and values else "codes" if codes else "no"
