"""Batch normalisation of several processes: each of them sees its share of a batch only."""

from __future__ import annotations

import logging

import torch
from torch import nn

from dsah_train.distributed import is_main, processes
from dsah_train.hashing import NormalisedLinear

__all__ = ["normalise_together", "shares_statistics"]

_log = logging.getLogger(__name__)


def shares_statistics(device: str, count: int) -> bool:
    """Whether ``count`` processes on this kind of device normalise whole batches together."""
    return count > 1 and device == "cuda"


def normalise_together(model: nn.Module, device: torch.device) -> None:
    """Let batch normalisation see the whole batch of all processes; in place.

    Nothing happens in one process, or without such layers. Names in the state dict stay. On CPUs
    torch has no layer for it: each process goes on with its own share, and a warning says so. Hash
    layers see to it themselves, on any device.

    Args:
        model: A network that contains the layers, not such a layer itself.
        device: Where it is trained.
    """
    hash_layers = [(m, m.norm) for m in model.modules() if isinstance(m, NormalisedLinear)]
    theirs = {id(norm) for _, norm in hash_layers}
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if processes() == 1 or all(id(layer) in theirs for layer in layers):
        return
    if shares_statistics(device.type, processes()):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        for hash_layer, norm in hash_layers:
            hash_layer.norm = norm
    elif is_main():
        _log.warning(
            "%d processes on device %s: each normalises its own share of a batch, and the running "
            "statistics of the first one are saved. Results differ from those of one process; "
            "squeezenet1_1, alexnet and vgg16 have no batch normalisation in their trunks",
            processes(),
            device.type,
        )
