"""What a user would pick instead: float features in FAISS, and perceptual hashes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.encoding.pinned import pinned
from dsah_infer import HammingIndex
from dsah_infer.contract import pack_bits
from dsah_infer.onnx_file import read_model
from dsah_infer.session import OnnxSession
from dsah_train.checkpoint import Checkpoint
from dsah_train.metrics.average_precision import average_precision
from dsah_train.metrics.ranking import numbering, relevance
from export.labelled import Labelled

__all__ = ["measure_rivals"]

Pictures = npt.NDArray[np.uint8]
Vectors = npt.NDArray[Any]
Encode = Callable[[Pictures], Vectors]
#: Query vectors to ids of the whole gallery, nearest first.
Search = Callable[[Vectors], npt.NDArray[np.int64]]

BATCH = 8
#: Pictures that one turn of encoding takes.
SAMPLE = 16 * BATCH


@dataclass(frozen=True)
class Rival:
    """One way from pictures to a ranking; ``index`` puts a gallery's vectors into a `Search`."""

    name: str
    encode: Encode
    index: Callable[[Vectors], Search]


def measure_rivals(
    model: Path, checkpoint: Checkpoint, weights: str, data: Labelled, *, rounds: int = 5
) -> list[dict[str, Any]]:
    """Codes of the exported file beside float features and perceptual hashes, on one core.

    Args:
        model: The exported fp32 file.
        checkpoint: Names the backbone.
        weights: ImageNet weights of that backbone, as ``fit --weights`` takes them.
        data: Decoded queries and gallery.
        rounds: Turns; every rival encodes and ranks once in each, the best counts.

    Returns:
        One record each: MAP@all, bytes per gallery picture, ms per picture to encode (decoding
        left out), ms per query to rank the whole gallery.
    """
    with pinned(1):
        rivals = _rivals(model, checkpoint.config.backbone, weights)
        vectors = {rival.name: _by_eights(rival.encode, data.images) for rival in rivals}
        # The gallery lies in class order, which flatters ties: numbered as evaluation does.
        row_of = numbering(len(data.images) - data.queries)
        searches = {r.name: r.index(vectors[r.name][data.queries :][row_of]) for r in rivals}
        found = {name: row_of[f(vectors[name][: data.queries])] for name, f in searches.items()}
        encoding: dict[str, list[float]] = {rival.name: [] for rival in rivals}
        ranking: dict[str, list[float]] = {rival.name: [] for rival in rivals}
        sample = data.images[:SAMPLE]
        for _ in range(rounds):
            for r in rivals:
                queries, find = vectors[r.name][: data.queries], searches[r.name]
                encoding[r.name].append(_seconds(_by_eights, r.encode, sample) / len(sample))
                ranking[r.name].append(_seconds(find, queries) / data.queries)
    return [
        {
            "what": name,
            "map": _map(found[name], data),
            "bytes_per_picture": rows[0].nbytes,
            "encode_ms": min(encoding[name]) * 1e3,
            "search_ms_per_query": min(ranking[name]) * 1e3,
        }
        for name, rows in vectors.items()
    ]


def _rivals(model: Path, backbone: str, weights: str) -> list[Rival]:
    import imagehash

    session = OnnxSession(read_model(model), "cpu", 1)
    contract = session.contract
    rivals = [
        Rival("dsah codes", lambda x: session.run(["codes"], x)[0],
              _hamming(contract.bits, contract.symbol_bits)),
        Rival(f"{backbone} features, FAISS flat", _features(backbone, weights), _inner_product),
    ]  # fmt: skip
    for name in ("phash", "dhash"):
        hash_of = getattr(imagehash, name)

        def encode(x: Pictures, hash_of: Any = hash_of) -> Vectors:
            return pack_bits([hash_of(Image.fromarray(picture)).hash.ravel() for picture in x])

        rivals.append(Rival(f"imagehash.{name}", encode, _hamming(64, 1)))
    return rivals


def _features(backbone: str, weights: str) -> Encode:
    """Pooled, normalised features of the ImageNet backbone: cosine similarity as inner product."""
    import torch

    from dsah_train.augment import normalise
    from dsah_train.backbones import build_trunk, load_weights

    torch.set_num_threads(1)
    trunk = build_trunk(backbone, load_weights(backbone, weights)).eval()

    def run(images: Pictures) -> Vectors:
        with torch.inference_mode():
            x = normalise(torch.from_numpy(images)).contiguous(memory_format=torch.channels_last)
            pooled = trunk(x).mean((2, 3))
            result: Vectors = torch.nn.functional.normalize(pooled).numpy()
            return result

    return run


def _hamming(bits: int, symbol_bits: int) -> Callable[[Vectors], Search]:
    def fill(gallery: Vectors) -> Search:
        index = HammingIndex(bits, symbol_bits=symbol_bits, threads=1)
        index.add(gallery)
        return lambda queries: index.search(queries, len(index))[1]

    return fill


def _inner_product(gallery: Vectors) -> Search:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)

    def search(queries: Vectors) -> npt.NDArray[np.int64]:
        ids: npt.NDArray[np.int64] = index.search(queries, index.ntotal)[1]
        return ids

    return search


def _by_eights(encode: Encode, images: Pictures) -> Vectors:
    parts = [encode(images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
    return np.concatenate(parts)


def _seconds(job: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    job(*arguments)
    return time.perf_counter() - start


def _map(rows: npt.NDArray[np.int64], data: Labelled) -> float:
    relevant = relevance(data.query_targets, data.gallery_targets)
    ranked = np.take_along_axis(relevant, rows, axis=1)
    return float(average_precision(ranked, relevant.sum(axis=1)).mean())
