"""Where a run stands, and ``state.pt``, from which a killed one goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsah_infer.atomic_file import replacing
from dsah_infer.errors import CheckpointError, ConfigError
from dsah_train.config import Config

__all__ = ["Progress", "read_state", "save_state"]

_FORMAT = "dsah.training-state"
_FILE = "state.pt"


@dataclass
class Progress:
    """Where a run stands; saved with the networks so that a killed run goes on from there."""

    phase: str = "select"
    epoch: int = 0
    epochs: int = 0
    best_epoch: int = 0
    best_map: float = -1.0
    spent: float = 0.0
    records: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def save_state(
    out: Path, config: Config, data_key: str, at: Progress, method: dict[str, Any] | None
) -> None:
    """Write ``state.pt``: progress, networks and optimisers, and the state of chance.

    Args:
        out: Run folder.
        config: Settings of the run.
        data_key: Names its classes and pictures.
        at: Where it stands.
        method: `Method.state_dict`; None between the phases and at the end.
    """
    payload = {
        "format": _FORMAT,
        "config": config.to_json(),
        "data": data_key,
        "progress": vars(at),
        "method": method,
        "rng": torch.get_rng_state(),
    }
    with replacing(out / _FILE) as file:
        torch.save(payload, file)


def read_state(out: Path, config: Config, data_key: str) -> dict[str, Any] | None:
    """What `save_state` wrote last; None where there is nothing to resume.

    Raises:
        CheckpointError: ``state.pt`` is not readable.
        ConfigError: The folder holds a run with other settings or other data.
    """
    path = out / _FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} is not readable ({error}); give another --out") from None
    if state.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a training state; give another --out")
    if Config.from_json(state["config"]) != config or state["data"] != data_key:
        raise ConfigError(
            f"{out} holds a run with other settings or other data (see config.json); give "
            "another --out, or the same settings and data to resume it"
        )
    return state
