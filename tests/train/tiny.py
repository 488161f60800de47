"""Small pictures with real files' bytes, and settings under which a run takes seconds."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from dsah_train.batches import TrainingSet
from dsah_train.config import Config
from dsah_train.data import Dataset, Part
from dsah_train.data.records import one_hot

__all__ = ["Reader", "config", "dataset", "pictures", "training_set"]

#: (colour, stripes per picture along y and x): a class is told by colour and by texture.
_LOOKS = (((220, 60, 40), 6, 0), ((40, 80, 220), 0, 6), ((60, 200, 80), 4, 4))


def pictures(classes: int, per_class: int, size: int, seed: int = 0) -> np.ndarray:
    """uint8 (classes * per_class, size, size, 3): striped colours with noise, class by class."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    made = []
    for c in range(classes):
        colour, fy, fx = _LOOKS[c]
        for _ in range(per_class):
            wave = np.sin(2 * np.pi * (fy * y + fx * x + rng.random()))[..., None]
            base = np.array(colour) * (0.75 + 0.25 * wave) + rng.normal(0, 12, (size, size, 3))
            made.append(base.clip(0, 255).astype(np.uint8))
    return np.stack(made)


@dataclass(frozen=True)
class Reader:
    """Encoded bytes of picture i; the rows in ``corrupt`` are cut short."""

    pixels: np.ndarray
    corrupt: tuple[int, ...] = ()

    def __call__(self, index: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(self.pixels[index]).save(stream, "PNG")
        data = stream.getvalue()
        return data[: len(data) // 3] if index in self.corrupt else data


def dataset(
    classes: int = 2, per_class: int = 4, size: int = 48, corrupt: tuple[int, ...] = ()
) -> Dataset:
    """Training pictures that are also the gallery, and unseen queries of the same classes."""

    def part(name: str, seed: int, bad: tuple[int, ...] = ()) -> Part:
        labels = np.repeat(np.arange(classes), per_class)
        names = tuple(f"{name}/{i}.png" for i in range(len(labels)))
        pixels = pictures(classes, per_class, size, seed)
        return Part(names, one_hot(labels, classes), Reader(pixels, bad))

    train = part("train", 0, corrupt)
    return Dataset(
        name="stripes",
        class_names=tuple("abc"[:classes]),
        train=train,
        query=part("query", 1),
        gallery=train,
        protocol="folders",
        split_seed=0,
        multi_label=False,
    )


def config(method: str = "dsah", **changes: object) -> Config:
    """A squeezenet on pictures of 48 pixels, 8 bits, without chance in the pictures."""
    values: dict[str, object] = {
        "method": method,
        "bits": 8,
        "image_size": 48,
        "train_size": 48,
        "min_area": 1.0,
        "max_area": 1.0,
        "colour_jitter": 0.0,
        "batch_size": 8,
        "epochs": 4,
        "select": False,
        "precision": "fp32",
        "val_per_class": 1,
    }
    return Config.with_preset(**(values | changes))


def training_set(settings: Config, classes: int = 2, per_class: int = 4) -> TrainingSet:
    """The same pictures, decoded."""
    labels = np.repeat(np.arange(classes), per_class)
    return TrainingSet(
        torch.from_numpy(pictures(classes, per_class, settings.train_size)),
        torch.from_numpy(one_hot(labels, classes)),
        settings,
    )
