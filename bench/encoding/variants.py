"""The networks that are timed: the given checkpoint's exports, and the paper's pair untrained."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dsah_infer.contract import CodeContract
from dsah_train.attention import min_max
from dsah_train.checkpoint import Checkpoint, contract_of, load_checkpoint
from dsah_train.config import Config
from dsah_train.models import AttentiveHasher, Hasher, build_model
from export.gate import Budget
from export.labelled import load_calibration
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx

__all__ = ["ATTENTION_SIDE", "exported", "paper_variants"]

#: Side of the smaller picture that the attention sees; FCN-16s needs multiples of 32.
ATTENTION_SIDE = 128
#: Untrained weights have no margins; only speed and bytes are asked of them.
_ANY = Budget(max_flip_rate=1.0, max_map_drop=1.0)


class SmallAttention(AttentiveHasher):
    """DSaH whose attention sees the picture at 128 pixels and whose map is enlarged again."""

    def saliency_map(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S) to Sal (N, 1, S, S) in [0, 1]."""
        small = F.interpolate(images, size=(ATTENTION_SIDE,) * 2, mode="bilinear")
        maps = F.interpolate(self.attention(small), size=images.shape[-2:], mode="bilinear")
        return min_max(maps)


def exported(checkpoint: Path, folder: Path, data: str) -> dict[str, Path]:
    """``fp32``, ``fp16`` and ``int8`` files of a trained checkpoint, made where missing."""
    trained = load_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for precision in ("fp32", "fp16", "int8"):
        path = files[precision] = folder / f"{trained.contract.fingerprint[:8]}-{precision}.onnx"
        if not path.exists():
            pictures = load_calibration(data, trained) if precision == "int8" else None
            recipe = Recipe(precision, calibration=pictures)
            export_onnx(trained, path, recipe, budget=_ANY if precision == "int8" else None)
    return files


def paper_variants(folder: Path, bits: int = 48) -> dict[str, Path]:
    """Files of the paper's VGG-16 + FCN-16s pair and of what makes it cheaper, untrained.

    ``pair``, ``pair int8``, ``pair, attention at 128 px``, ``student`` (DAgH's second stream: the
    hashing network alone) and ``student int8``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(backbone="vgg16", bits=bits)
    calibration = fixed_pictures(config.image_size, 8)
    files = {}
    for name, label in (
        ("pair", "pair"),
        ("small", f"pair, attention at {ATTENTION_SIDE} px"),
        ("student", "student"),
    ):
        todo = {"fp32": label} if name == "small" else {"fp32": label, "int8": f"{label} int8"}
        paths = {p: folder / f"vgg16-{name}-{p}.onnx" for p in todo}
        files |= {todo[p]: path for p, path in paths.items()}
        if all(path.exists() for path in paths.values()):
            continue
        untrained = _untrained(config, name)
        for precision, path in paths.items():
            recipe = Recipe(precision, calibration=calibration if precision == "int8" else None)
            export_onnx(untrained, path, recipe, budget=_ANY)
    return files


def _untrained(config: Config, name: str) -> Checkpoint:
    torch.manual_seed(0)
    model: Hasher
    if name == "student":
        config = config.replace(method="dpsh")
    model = build_model(config, 2).eval()
    if name == "small":
        assert isinstance(model, AttentiveHasher)
        model.__class__ = SmallAttention
    contract: CodeContract = contract_of(config, ("a", "b"), model, {})
    return Checkpoint(model, config, contract.replace(space=f"untrained-{name}"), {})
