"""What a run starts from beside its settings, as digests: its state is resumed on that alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

from dsah_train.checkpoint import weights_digest
from dsah_train.data import Dataset
from dsah_train.teacher import Teacher

__all__ = ["WORDS", "run_key"]

#: Each part of a key, as messages call one that differs.
WORDS = {
    "data": "other classes or training pictures",
    "labels": "other labels of its training pictures",
    "weights": "other start weights (--weights)",
    "teacher": "another teacher in the file that its settings name",
}


def run_key(
    dataset: Dataset, weights: Mapping[str, Tensor] | None, teacher: Teacher | None
) -> dict[str, str]:
    """The digests of one run, by the names in `WORDS`.

    Args:
        dataset: Names of its classes and training pictures, and their targets, are digested; the
            pictures themselves are not read for it.
        weights: State dict that the backbone starts from, or None for random weights.
        teacher: The teacher, or None.
    """
    names = "\n".join((*dataset.class_names, *dataset.train.names))
    targets = dataset.train.targets  # uint8 (n, C); n and C stand in the digest of the names
    return {
        # Names of files need not be Unicode, and come with lone surrogates then.
        "data": hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest(),
        "labels": hashlib.sha256(targets.tobytes()).hexdigest(),
        "weights": "random" if weights is None else weights_digest(weights).hex(),
        "teacher": "" if teacher is None else teacher.fingerprint,
    }
