"""What a model was trained on, held against what it is asked with.

A figure on pictures that a model was trained on says nothing, and nothing in it shows. It happens
by another split seed or protocol, and by one picture added to a class, which moves the draw. A
checkpoint therefore keeps a digest of the name of each training picture; an exported graph and a
checkpoint of older versions do not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dsah_infer.contract import CodeContract
from dsah_infer.errors import UsageError
from dsah_train.data.openset import held_classes
from dsah_train.data.protocols import split_open_set
from dsah_train.data.records import Dataset

if TYPE_CHECKING:
    from dsah_train.config import Config

__all__ = ["DIGEST_BYTES", "Trained", "check_unseen_classes", "leave_out_trained", "name_digest"]

DIGEST_BYTES = 8


class Trained(Protocol):
    """A model that knows of its training: an artefact, or a teacher; see `Artefact`."""

    @property
    def path(self) -> Path: ...

    @property
    def contract(self) -> CodeContract: ...

    @property
    def config(self) -> Config | None: ...

    @property
    def trained_on(self) -> frozenset[bytes] | None: ...


def name_digest(name: str) -> bytes:
    """`DIGEST_BYTES` bytes that stand for a picture's name."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def leave_out_trained(dataset: Dataset, trained: Trained) -> tuple[Dataset, int]:
    """The data set without the queries that a model was trained on, and how many those are.

    Warns of them, and where a checkpoint that keeps no names was trained with another split seed.

    Args:
        dataset: The data under the protocol of the evaluation.
        trained: The model.

    Raises:
        UsageError: No query is left.
    """
    config = trained.config
    if config is None:
        return dataset, 0
    ways = (
        f"{trained.path} was trained with split seed {config.split_seed} and "
        f"{_shown(config.protocol)}; this evaluation draws with split seed {dataset.split_seed} "
        f"and protocol {dataset.protocol}"
    )
    if trained.trained_on is None:
        if dataset.drawn and config.split_seed != dataset.split_seed:
            warnings.warn(
                f"{ways}. An older version wrote this checkpoint without the names of its "
                "training pictures, so queries that it was trained on cannot be left out and "
                f"flatter every figure; evaluate with --split-seed {config.split_seed}",
                stacklevel=2,
            )
        return dataset, 0
    names = dataset.query.names
    kept = [i for i, name in enumerate(names) if name_digest(name) not in trained.trained_on]
    lost = len(names) - len(kept)
    if not lost:
        return dataset, 0
    found = f"{lost:,} of {len(names):,} queries are training pictures of the model"
    advice = (
        f"{ways}. Where these agree, the pictures have changed since: one more in a class moves "
        "the draw"
    )
    if not kept:
        raise UsageError(
            f"{found}, and none is left to ask with: {advice}. Give the data, the split seed and "
            "the protocol of the training"
        )
    warnings.warn(f"{found} and are left out: {advice}", stacklevel=2)
    query = dataset.query.subset(kept)
    asked = set(query.names)
    duplicates = tuple(pair for pair in dataset.duplicates if pair[0] in asked)
    return dataclasses.replace(dataset, query=query, duplicates=duplicates), lost


def check_unseen_classes(dataset: Dataset, trained: Trained) -> None:
    """Refuse to call classes unseen that a model was trained on; no-op outside open-set protocols.

    Warns where the model is an exported graph, which names its classes but not those that were
    held out.

    Raises:
        UsageError: A held-out class of the data set is one of the training.
    """
    unseen = {dataset.class_names[i] for i in dataset.unseen}
    names = trained.contract.class_names
    if trained.config is None:
        if known := sorted(unseen & set(names)):
            warnings.warn(
                f"{trained.path} is a graph, which does not say whether {', '.join(known)} were "
                "held out of its training, as this protocol assumes; evaluate the checkpoint",
                stacklevel=2,
            )
        return
    config = trained.config
    held, _ = split_open_set(config.protocol)
    if held is not None:
        unseen -= {names[i] for i in held_classes(names, held, seed=config.split_seed)}
    if known := sorted(unseen & set(names)):
        raise UsageError(
            f"protocol {dataset.protocol} calls {', '.join(known)} unseen, but {trained.path} was "
            f"trained on them ({_shown(config.protocol)}, split seed {config.split_seed}); train "
            "with this open-set protocol, or evaluate with that of the training"
        )


def _shown(protocol: str) -> str:
    return f"protocol {protocol}" if protocol else "the protocol that its data had"
