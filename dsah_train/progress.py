"""Where a run stands, and ``state.pt``, from which a killed one goes on."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsah_infer.atomic_file import replacing
from dsah_infer.errors import CheckpointError, ConfigError
from dsah_train.config import Config
from dsah_train.run_key import WORDS

__all__ = ["Progress", "read_state", "restore_chance", "save_state"]

_FORMAT = "dsah.training-state"
_FILE = "state.pt"


@dataclass
class Progress:
    """Where a run stands; saved with the networks so that a killed run goes on from there.

    Attributes:
        phase: ``select`` (choosing the epochs), ``refit`` or ``done``.
        epoch: Epochs of this phase that are done.
        epochs: Epochs that this phase will have.
        best_epoch: Epoch with the best validation MAP so far, 0 for none.
        best_map: Its MAP.
        stale: Epochs since then that were validated.
        spent: Seconds so far, all processes of this run together.
        records: Lines of ``metrics.jsonl``.
        metrics: Figures that the checkpoint will carry.
    """

    phase: str = "select"
    epoch: int = 0
    epochs: int = 0
    best_epoch: int = 0
    best_map: float = -1.0
    stale: int = 0
    spent: float = 0.0
    records: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def save_state(
    out: Path,
    config: Config,
    key: Mapping[str, str],
    at: Progress,
    method: dict[str, Any] | None,
    device: str = "cpu",
) -> None:
    """Write ``state.pt``: progress, networks and optimisers, and the state of chance.

    Args:
        out: Run folder.
        config: Settings of the run.
        key: What it starts from, see `run_key`.
        at: Where it stands.
        method: `Method.state_dict`; None between the phases and at the end.
        device: Where it trains; a CUDA device has a generator of its own.
    """
    payload = {
        "format": _FORMAT,
        "config": config.to_json(),
        **key,
        "progress": vars(at),
        "method": method,
        "rng": torch.get_rng_state(),
        "device_rng": torch.cuda.get_rng_state(device) if device.startswith("cuda") else None,
    }
    with replacing(out / _FILE) as file:
        torch.save(payload, file)


def read_state(out: Path, config: Config, key: Mapping[str, str]) -> dict[str, Any] | None:
    """What `save_state` wrote last; None where there is nothing to resume.

    Args:
        out: Run folder.
        config: Settings of the run.
        key: What it starts from, see `run_key`. Parts that an older dsah did not save are taken
            to be the same.

    Raises:
        CheckpointError: ``state.pt`` is not readable.
        ConfigError: The folder holds a run with other settings, or one that started from
            something else; the message says what differs.
    """
    path = out / _FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own words advise to run what is in the file
        raise CheckpointError(
            f"{path} is not a training state, or holds objects that could run code; give another "
            "--out"
        ) from None
    except Exception as error:
        raise CheckpointError(f"{path} is not readable ({error}); give another --out") from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a training state; give another --out")
    try:
        saved = dataclasses.asdict(Config.from_json(state["config"]))
        Progress(**state["progress"])
        state["method"], state["rng"]
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{path} is damaged or of a newer dsah ({error!r}); give another --out"
        ) from None
    changed = [name for name, value in dataclasses.asdict(config).items() if saved[name] != value]
    differing = [f"other settings ({', '.join(changed)}; see config.json)"] if changed else []
    differing += [WORDS[name] for name, value in key.items() if state.get(name, value) != value]
    if differing:
        raise ConfigError(
            f"{out} holds a run with {' and '.join(differing)}; give another --out, or what it "
            "was started with to resume it"
        )
    return state


def restore_chance(state: dict[str, Any], device: str) -> None:
    """Set the generators that dropout draws from to where `save_state` found them."""
    torch.set_rng_state(state["rng"])
    if device.startswith("cuda") and state.get("device_rng") is not None:
        torch.cuda.set_rng_state(state["device_rng"], device)
