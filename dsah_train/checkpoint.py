"""``ckpt.pt``: all that is needed to rebuild a trained model, and nothing that can run code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsah_infer.atomic_file import replacing
from dsah_infer.contract import CHECKPOINT_RECORD, STORED_SYMBOL_BITS, CodeContract, PixelRule
from dsah_infer.errors import CheckpointError, ConfigError, ContractError
from dsah_train.config import Config
from dsah_train.models import Hasher, build_model
from dsah_train.trained_on import DIGEST_BYTES, name_digest

__all__ = ["CHECKPOINT_VERSION", "Checkpoint", "load_checkpoint", "save_checkpoint"]

CHECKPOINT_VERSION = 1
_FORMAT = "dsah.checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with everything that describes it.

    Attributes:
        model: The network in eval mode, on the CPU.
        config: Settings of the run.
        contract: What its codes mean; ``fingerprint`` names these weights.
        metrics: Figures of the training, by name.
        trained_on: `name_digest` of each training picture; None where the file keeps none.
        start_weights: What the backbone started from: ``random``, or the `weights_digest` of its
            ImageNet weights in hex; empty where the file does not say.
    """

    model: Hasher
    config: Config
    contract: CodeContract
    metrics: dict[str, float]
    trained_on: frozenset[bytes] | None = None
    start_weights: str = ""


def contract_of(
    config: Config, class_names: tuple[str, ...], model: Hasher, metrics: Mapping[str, float]
) -> CodeContract:
    """The contract of a model's codes; ``space`` and ``fingerprint`` are still empty."""
    arity = model.symbol_arity
    segments = config.bits // config.bits_per_symbol
    symbol_bits = STORED_SYMBOL_BITS[arity]
    return CodeContract(
        method=config.method,
        bits=segments * symbol_bits,
        symbol_bits=symbol_bits,
        arity=arity,
        info_bits=config.bits,
        activations=model.activations,
        has_saliency=model.has_saliency,
        pixels=PixelRule(size=config.image_size, crop=config.crop),
        class_names=class_names,
        metrics=dict(metrics),
    )


def weights_digest(state: Mapping[str, Tensor]) -> bytes:
    """SHA-256 over names and values of a state dict, in name order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.digest()


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    model: Hasher,
    config: Config,
    class_names: tuple[str, ...],
    metrics: Mapping[str, float],
    space: str = "",
    train_names: Iterable[str] = (),
    also_trained_on: Iterable[bytes] = (),
    start_weights: str = "",
) -> CodeContract:
    """Write ``ckpt.pt``; its contract also stands in a record that needs no torch to read.

    Args:
        path: The checkpoint's path.
        model: The network.
        config: Settings of the run.
        class_names: C names.
        metrics: Figures of the training.
        space: Code space to inherit (a student's teacher's); empty names a new one.
        train_names: Names of the training pictures. Their digests are kept, so that an evaluation
            does not ask with them; without names nothing is kept.
        also_trained_on: Such digests of others: what a student's teacher was trained on.
        start_weights: What the backbone started from, see `Checkpoint`.

    Returns:
        The contract, with ``space`` and ``fingerprint``.
    """
    path = Path(path)
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    digest = weights_digest(state)
    contract = contract_of(config, class_names, model, metrics)
    contract = contract.replace(space=space or digest.hex()[:32]).with_fingerprint(digest)
    payload = {
        "format": _FORMAT,
        "version": CHECKPOINT_VERSION,
        "config": config.to_json(),
        "contract": contract.to_json(),
        "metrics": {name: float(value) for name, value in metrics.items()},
        "model": state,
        "start_weights": start_weights,
    }
    if digests := sorted({name_digest(name) for name in train_names} | set(also_trained_on)):
        joined = np.frombuffer(b"".join(digests), dtype=np.uint8)
        payload["trained_on"] = torch.from_numpy(joined.reshape(-1, DIGEST_BYTES).copy())
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    with zipfile.ZipFile(buffer, "a") as archive:
        folder = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{folder}/{CHECKPOINT_RECORD}", contract.to_json())
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(buffer.getbuffer())
    return contract


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Rebuild a trained model; runs no code from the file (``weights_only``).

    Raises:
        CheckpointError: Missing, damaged, of something else or of a newer version.
    """
    payload = _read(Path(path))
    if payload.get("format") != _FORMAT or not isinstance(payload.get("version"), int):
        raise CheckpointError(f"{path} is not a dsah checkpoint (made by python -m dsah_train fit)")
    if payload["version"] > CHECKPOINT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint version {payload['version']}, this dsah reads up to "
            f"{CHECKPOINT_VERSION}; upgrade dsah"
        )
    try:
        config = Config.from_json(payload["config"])
        contract = CodeContract.from_json(payload["contract"])
        model = build_model(config, len(contract.class_names))
        model.load_state_dict(payload["model"])
        metrics = dict(payload["metrics"])
        trained_on = _digests(payload.get("trained_on"))
        start_weights = str(payload.get("start_weights", ""))
    except (KeyError, TypeError, RuntimeError, ConfigError, ContractError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path} is damaged or does not fit itself: {reason}") from error
    return Checkpoint(model.eval(), config, contract, metrics, trained_on, start_weights)


def _digests(kept: object) -> frozenset[bytes] | None:
    """Rows of the kept tensor, uint8 (n, `DIGEST_BYTES`); None where there is none.

    Raises:
        TypeError: Something else was kept.
    """
    if kept is None:
        return None
    if not isinstance(kept, Tensor) or kept.dtype != torch.uint8 or kept.ndim != 2:
        raise TypeError(f"trained_on holds a {type(kept).__name__}, expected uint8 digests")
    return frozenset(row.tobytes() for row in kept.numpy())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; a run writes RUN/ckpt.pt")
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own words advise to run what is in the file
        raise CheckpointError(
            f"{path} is not a readable checkpoint: no file of dsah_train fit, or it holds objects "
            "that could run code"
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable checkpoint: {reason}") from error
    if not isinstance(payload, dict):
        raise CheckpointError(f"{path} holds a {type(payload).__name__}, not a dsah checkpoint")
    return payload
