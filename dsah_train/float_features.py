"""``python -m dsah_train.float_features``: what a backbone ranks like before it is hashed.

MAP of the cosine between pooled frozen features, not of codes: the bound that heads on the same
features are measured against. Fine-tuned codes may pass it.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import numpy.typing as npt
import torch

from dsah_infer.contract import PixelRule
from dsah_infer.errors import DsahError
from dsah_train.backbones import load_weights
from dsah_train.config import Config
from dsah_train.data import Part, decode_part, load_dataset
from dsah_train.features import pooled_features
from dsah_train.models import build_plain

__all__ = ["float_map", "main"]


def float_map(
    query: npt.NDArray[np.float32],
    query_targets: npt.NDArray[np.uint8],
    gallery: npt.NDArray[np.float32],
    gallery_targets: npt.NDArray[np.uint8],
) -> float:
    """MAP@all of descending cosine similarity, ties by ascending row.

    Args:
        query: Features (q, F).
        query_targets: Multi-hot (q, C); relevant is who shares a class.
        gallery: Features (n, F).
        gallery_targets: Multi-hot (n, C).

    Returns:
        Mean over all queries; one without a relevant item counts 0.
    """
    unit = [
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (query, gallery)
    ]
    order = np.argsort(-(unit[0] @ unit[1].T), axis=1, kind="stable")
    relevant = query_targets.astype(np.int64) @ gallery_targets.T.astype(np.int64) > 0
    hits = np.take_along_axis(relevant, order, axis=1)
    precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    return float(((precision * hits).sum(1) / np.maximum(hits.sum(1), 1)).mean())


def main() -> int:
    """Print MAP of a backbone's pooled features on a data set, as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m dsah_train.float_features", description=__doc__
    )
    parser.add_argument("--data", required=True, help="data set, as fit takes it")
    parser.add_argument("--backbone", default="squeezenet1_1", help="torchvision backbone")
    parser.add_argument("--weights", default="auto", help="FILE, imagenet, none or auto")
    parser.add_argument("--image-size", type=int, default=224, help="side in pixels")
    parser.add_argument("--split-seed", type=int, default=0, help="seed of a drawn split")
    parser.add_argument("--protocol", help="protocol of the data set")
    args = parser.parse_args()
    try:
        dataset = load_dataset(args.data, split_seed=args.split_seed, protocol=args.protocol)
        config = Config(backbone=args.backbone, image_size=args.image_size)
        model = build_plain(config, load_weights(args.backbone, args.weights)).eval()

        def features(part: Part) -> npt.NDArray[np.float32]:
            pixels = decode_part(part, PixelRule(size=args.image_size, crop=1.0))
            values: npt.NDArray[np.float32] = pooled_features(
                model, torch.from_numpy(pixels)
            ).numpy()
            return values

        query, gallery = dataset.query, dataset.gallery
        value = float_map(features(query), query.targets, features(gallery), gallery.targets)
    except DsahError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(vars(args) | {"queries": len(query), "gallery": len(gallery), "map": value}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
