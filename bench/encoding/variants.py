"""The networks that are timed: the given checkpoint's exports, and the paper's pair untrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dsah_infer.contract import CodeContract
from dsah_train.checkpoint import Checkpoint, contract_of, load_checkpoint
from dsah_train.config import Config
from dsah_train.models import AttentiveHasher, build_model
from export.gate import Budget
from export.labelled import load_calibration
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx

__all__ = ["exported", "exported_for_speed", "paper_variants"]

#: Untrained weights have no margins; only speed and bytes are asked of them.
_ANY = Budget(max_flip_rate=1.0, max_map_drop=1.0)


def exported(
    checkpoint: Path, folder: Path, data: str, names: Sequence[str] = ("fp32", "fp16", "int8")
) -> dict[str, Path]:
    """Files of a trained checkpoint by precision, made where missing.

    ``int8-tensorrt`` is int8 with symmetric weights and activations, as TensorRT takes them.
    """
    trained = load_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in names:
        path = files[name] = folder / f"{trained.contract.fingerprint[:8]}-{name}.onnx"
        if not path.exists():
            precision, _, target = name.partition("-")
            pictures = load_calibration(data, trained) if precision == "int8" else None
            recipe = Recipe(precision, calibration=pictures, target=target or "cpu")
            export_onnx(trained, path, recipe, budget=_ANY if precision == "int8" else None)
    return files


def exported_for_speed(checkpoint: Path, folder: Path) -> dict[str, Path]:
    """The same network without its saliency output, and with attention at half the side.

    The weights were not trained for the latter: time its file, do not judge its codes.
    """
    trained = load_checkpoint(checkpoint)
    files = {}
    for label, scale in (("fp32, no saliency output", 1.0), ("fp32, attention at half", 0.5)):
        name = label.replace(", ", "-").replace(" ", "-")
        path = files[label] = folder / f"{trained.contract.fingerprint[:8]}-{name}.onnx"
        if isinstance(trained.model, AttentiveHasher) and not path.exists():
            trained.model.scale = scale
            export_onnx(trained, path, Recipe(saliency=scale != 1), budget=_ANY)
    return {label: path for label, path in files.items() if path.exists()}


def paper_variants(folder: Path, bits: int = 48) -> dict[str, Path]:
    """Files of the paper's VGG-16 + FCN-16s pair and of what makes it cheaper, untrained.

    ``pair``, ``pair int8``, ``pair, attention at half`` (128 of 224 pixels: FCN-16s takes multiples
    of 32), ``student`` (DAgH's second stream: the hashing network alone) and ``student int8``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(backbone="vgg16", bits=bits)
    calibration = fixed_pictures(config.image_size, 8)
    files = {}
    for name, label in (
        ("pair", "pair"),
        ("half", "pair, attention at half"),
        ("student", "student"),
    ):
        todo = {"fp32": label} if name == "half" else {"fp32": label, "int8": f"{label} int8"}
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
    if name == "student":
        config = config.replace(method="dpsh")
    if name == "half":
        config = config.replace(attention_scale=0.5)
    model = build_model(config, 2).eval()
    contract: CodeContract = contract_of(config, ("a", "b"), model, {})
    return Checkpoint(model, config, contract.replace(space=f"untrained-{name}"), {})
