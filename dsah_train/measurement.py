"""Measure one artefact on one data set: encode queries and gallery, rank, score."""

from __future__ import annotations

import dataclasses
import json
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dsah_infer import __version__
from dsah_infer.contract import CodeContract
from dsah_infer.errors import DataError, SpaceMismatchError, UsageError
from dsah_train.artefacts import Artefact, EncodedPart, OnError
from dsah_train.data import Dataset, Part, decode_masks
from dsah_train.metrics import (
    Evaluation,
    OpenSetReport,
    SaliencyScore,
    evaluate_codes,
    mean_average_precision,
    open_set_report,
    score_saliency,
)
from dsah_train.trained_on import check_unseen_classes, leave_out_trained

__all__ = ["DEFAULT_TOPK", "FORMAT_VERSION", "Measurement", "measure"]

FORMAT_VERSION = 1
DEFAULT_TOPK = (1, 10, 100, 1000, 5000)


@dataclass(frozen=True)
class Measurement:
    """What was measured, on what, of which artefact.

    Attributes:
        artefact: File name, method, bits, fingerprint, space, ... of the evaluated artefact, and
            what its backbone started from.
        gallery_artefact: The same of the one that encoded the gallery.
        config: Settings of the training run; empty for an exported graph.
        data: Name, protocol, seed, sizes, class names, note, skipped pictures, names of the
            queries, and how many more the model was trained on, which were left out.
        evaluation: All queries on the whole gallery.
        prefixes: MAP@all of the codes' first bits, by bits of information.
        open_set: The four-way report where classes were held out of training.
        saliency: Attention against masks where both exist.
        query: Codes of the queries; not part of the record.
        gallery: Codes of the gallery; not part of the record.
    """

    artefact: dict[str, Any]
    gallery_artefact: dict[str, Any]
    config: dict[str, Any]
    data: dict[str, Any]
    evaluation: Evaluation
    prefixes: dict[int, float]
    open_set: OpenSetReport | None
    saliency: SaliencyScore | None
    query: EncodedPart = field(repr=False)
    gallery: EncodedPart = field(repr=False)

    @property
    def same_items(self) -> npt.NDArray[np.int64] | None:
        """Gallery row of each query where the very same file is in both parts, else None."""
        return _same_items(self.query, self.gallery)

    def to_json(self) -> str:
        """The record without the codes, as JSON text."""
        record: dict[str, Any] = {"format_version": FORMAT_VERSION, "dsah": __version__}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if item.name not in ("query", "gallery"):
                record[item.name] = dataclasses.asdict(value) if _is_record(value) else value
        return json.dumps(record, indent=1)


def measure(
    artefact: Artefact,
    dataset: Dataset,
    *,
    trained: Artefact | None = None,
    gallery_artefact: Artefact | None = None,
    topk: tuple[int, ...] = DEFAULT_TOPK,
    prefixes: tuple[int, ...] = (),
    on_error: OnError = "raise",
) -> Measurement:
    """Encode queries and gallery, rank, and score.

    Args:
        artefact: Encodes the queries, and the gallery unless another one does.
        dataset: The data under its protocol; its training part is not touched. Queries that the
            model was trained on are left out with a warning.
        trained: What knows of the artefact's training where it does not itself: the checkpoint of
            an exported graph.
        gallery_artefact: Encodes the gallery instead, such as the teacher of a student.
        topk: Cut-offs of MAP@k and precision@N.
        prefixes: Shorter lengths, in bits of information, at which the first bits of the codes
            are measured too: nested codes.
        on_error: Whether an unreadable picture ends the evaluation or is left out and named.

    Raises:
        UsageError: A prefix that the codes do not have, a class called unseen that was trained on,
            or no query that was not.
        SpaceMismatchError: The two artefacts' codes are not comparable.
        PictureError: An unreadable picture (``raise``).
    """
    contract = artefact.contract
    searched = gallery_artefact or artefact
    if searched.contract.space != contract.space:
        raise SpaceMismatchError(
            f"{artefact.path} writes codes of space {contract.space!r}, {searched.path} of "
            f"{searched.contract.space!r}; distances between them mean nothing. Train a student "
            "into the gallery's space, or let one artefact encode both sides"
        )
    if trained is None or artefact.config is not None:
        trained = artefact
    for model in (trained, searched) if gallery_artefact else (trained,):
        check_unseen_classes(dataset, model)
    stored = {n: _stored_prefix(contract, n) for n in prefixes}
    dataset, left_out = leave_out_trained(dataset, trained)
    # The ranker weighs bits; ordinal codes have several activations for each.
    query = artefact.encode(
        dataset.query, activations=contract.activations == contract.bits, on_error=on_error
    )
    gallery = searched.encode(dataset.gallery, activations=False, on_error=on_error)
    codes = (query.codes, query.part.targets, gallery.codes, gallery.part.targets)
    bits, symbol_bits = contract.bits, contract.symbol_bits
    open_set = None
    if dataset.unseen:
        seen = np.isin(np.arange(len(dataset.class_names)), dataset.seen)
        open_set = open_set_report(
            *codes, seen_classes=seen, bits=bits, symbol_bits=symbol_bits, topk=topk
        )
    saliency = None
    if contract.has_saliency and query.part.masks is not None:
        saliency = _attention(artefact, query.part, on_error)
    return Measurement(
        artefact=_describe(artefact, trained),
        gallery_artefact=_describe(searched, trained if searched is artefact else searched),
        config={} if trained.config is None else dataclasses.asdict(trained.config),
        data={
            "name": dataset.name,
            "protocol": dataset.protocol,
            "split_seed": dataset.split_seed,
            "summary": dataset.summary(),
            "note": dataset.note,
            "class_names": list(dataset.class_names),
            "unseen": [dataset.class_names[i] for i in dataset.unseen],
            "duplicates": len(dataset.duplicates),
            "skipped": [*query.skipped, *gallery.skipped],
            "query_names": list(query.part.names),
            "queries_trained_on": left_out,
        },
        evaluation=evaluate_codes(
            *codes,
            bits=bits,
            symbol_bits=symbol_bits,
            arity=contract.arity,
            topk=topk,
            same_items=_same_items(query, gallery),
            query_activations=query.activations,
        ),
        prefixes={n: _prefix_map(query, gallery, contract, kept) for n, kept in stored.items()},
        open_set=open_set,
        saliency=saliency,
        query=query,
        gallery=gallery,
    )


def _attention(artefact: Artefact, part: Part, on_error: OnError) -> SaliencyScore | None:
    """Saliency against the masks that the model's crop leaves something of; None without any."""
    masks = decode_masks(part, artefact.contract.pixels, on_error=on_error).astype(bool)
    inside = np.flatnonzero(masks.any(axis=(1, 2)))
    if lost := len(part) - len(inside):
        first = part.names[int(np.setdiff1d(np.arange(len(part)), inside)[0])]
        warnings.warn(
            f"{lost:,} of {len(part):,} masks, such as that of {first}, are empty, unreadable or "
            "cropped away: these pictures do not count for the pointing game",
            stacklevel=2,
        )
    if not len(inside):
        return None
    maps = artefact.saliency(part.subset(inside))
    if maps is None:
        raise DataError(f"{artefact.path} gave no saliency, though its contract promises it")
    return score_saliency(maps, masks[inside])


def _describe(artefact: Artefact, trained: Artefact) -> dict[str, Any]:
    c = artefact.contract
    return {
        "file": artefact.path.name,
        "method": c.method,
        "bits": c.info_bits,
        "stored_bits": c.bits,
        "symbol_bits": c.symbol_bits,
        "size": c.pixels.size,
        "precision": c.precision,
        "space": c.space,
        "fingerprint": c.fingerprint,
        "start_weights": trained.start_weights,
    }


def _stored_prefix(contract: CodeContract, length: int) -> int:
    """Stored bits that hold the first ``length`` bits of information."""
    stored, rest = divmod(length * contract.bits, contract.info_bits)
    if rest or stored % contract.symbol_bits or not 0 < stored <= contract.bits:
        per_symbol = contract.info_bits // contract.segments
        raise UsageError(
            f"prefix of {length} bits, allowed: multiples of {per_symbol} up to "
            f"{contract.info_bits}"
        )
    return stored


def _prefix_map(
    query: EncodedPart, gallery: EncodedPart, contract: CodeContract, stored: int
) -> float:
    """MAP@all of the first ``stored`` bits."""
    from dsah_train.nested import truncate_codes

    return mean_average_precision(
        truncate_codes(query.codes, contract.bits, stored),
        query.part.targets,
        truncate_codes(gallery.codes, contract.bits, stored),
        gallery.part.targets,
        bits=stored,
        symbol_bits=contract.symbol_bits,
        same_items=_same_items(query, gallery),
    )


def _same_items(query: EncodedPart, gallery: EncodedPart) -> npt.NDArray[np.int64] | None:
    """Gallery row of each query where the very same file is in both parts, else None."""
    rows = {name: i for i, name in enumerate(gallery.part.names)}
    same = np.array([rows.get(name, -1) for name in query.part.names], dtype=np.int64)
    return same if (same >= 0).any() else None


def _is_record(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)
