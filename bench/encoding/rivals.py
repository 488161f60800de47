"""What a user would pick instead: float features in FAISS, and perceptual hashes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer import HammingIndex
from dsah_infer.contract import pack_bits
from dsah_infer.onnx_file import read_model
from dsah_infer.session import OnnxSession
from dsah_train.checkpoint import Checkpoint
from dsah_train.metrics.average_precision import average_precision
from dsah_train.metrics.ranking import relevance
from export.labelled import Labelled

__all__ = ["measure_rivals"]

Search = Callable[[], npt.NDArray[np.int64]]


def measure_rivals(
    model: Path, checkpoint: Checkpoint, weights: str, data: Labelled
) -> list[dict[str, Any]]:
    """Codes of the exported file beside float features and perceptual hashes, on one thread.

    Args:
        model: The exported fp32 file.
        checkpoint: Names the backbone.
        weights: ImageNet weights of that backbone, as ``fit --weights`` takes them.
        data: Decoded queries and gallery.

    Returns:
        One record each: MAP@all, bytes per gallery picture, ms per picture to encode (decoding
        left out), ms per query to rank the whole gallery.
    """
    import faiss
    import imagehash

    faiss.omp_set_num_threads(1)
    session = OnnxSession(read_model(model), "cpu", 1)
    contract = read_model(model).contract
    rows = [
        _row(
            "dsah codes",
            lambda x: session.run(["codes"], x)[0],
            data,
            contract.bits,
            contract.symbol_bits,
        )
    ]
    features = _features(checkpoint.config.backbone, weights)
    encoded, seconds = _encode(features, data.images)
    flat = faiss.IndexFlatIP(encoded.shape[1])
    flat.add(encoded[data.queries :])
    ids, searched = _timed(lambda: flat.search(encoded[: data.queries], flat.ntotal)[1])
    rows.append(
        _record(
            f"{checkpoint.config.backbone} features, FAISS flat",
            ids,
            data,
            encoded.shape[1] * 4,
            seconds,
            searched,
        )
    )
    for name in ("phash", "dhash"):
        hash_of = getattr(imagehash, name)

        def encode(x: npt.NDArray[np.uint8], hash_of: Any = hash_of) -> npt.NDArray[np.uint8]:
            return pack_bits([hash_of(Image.fromarray(picture)).hash.ravel() for picture in x])

        rows.append(_row(f"imagehash.{name}", encode, data, 64, 1))
    return rows


def _features(
    backbone: str, weights: str
) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """Pooled, normalised features of the ImageNet backbone: cosine similarity as inner product."""
    import torch

    from dsah_train.augment import normalise
    from dsah_train.backbones import build_trunk, load_weights

    torch.set_num_threads(1)
    trunk = build_trunk(backbone, load_weights(backbone, weights)).eval()

    def run(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            x = normalise(torch.from_numpy(images)).contiguous(memory_format=torch.channels_last)
            pooled = trunk(x).mean((2, 3))
            result: npt.NDArray[np.float32] = torch.nn.functional.normalize(pooled).numpy()
            return result

    return run


def _row(name: str, encode: Any, data: Labelled, bits: int, symbol_bits: int) -> dict[str, Any]:
    codes, seconds = _encode(encode, data.images)
    index = HammingIndex(bits, symbol_bits=symbol_bits, threads=1)
    index.add(codes[data.queries :])
    ids, searched = _timed(lambda: index.search(codes[: data.queries], len(index))[1])
    return _record(name, ids, data, codes.shape[1], seconds, searched)


def _encode(encode: Any, images: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], float]:
    """All pictures by eights, and seconds per picture."""
    encode(images[:8])
    start = time.perf_counter()
    parts = [encode(images[at : at + 8]) for at in range(0, len(images), 8)]
    return np.concatenate(parts), (time.perf_counter() - start) / len(images)


def _timed(search: Search) -> tuple[npt.NDArray[np.int64], float]:
    search()
    start = time.perf_counter()
    ids = search()
    return ids, time.perf_counter() - start


def _record(
    name: str,
    ids: npt.NDArray[np.int64],
    data: Labelled,
    size: int,
    seconds: float,
    searched: float,
) -> dict[str, Any]:
    relevant = relevance(data.query_targets, data.gallery_targets)
    total = relevant.sum(axis=1)
    ranked = np.take_along_axis(relevant, ids, axis=1)
    return {
        "what": name,
        "map": float(average_precision(ranked, total).mean()),
        "bytes_per_picture": size,
        "encode_ms": seconds * 1e3,
        "search_ms_per_query": searched * 1e3 / data.queries,
    }
