"""The embedded set: a fine-grained picture set that is drawn, not shipped.

Every picture shows one leathery oval of random pose over clutter. The class is told only by a
small mark at a random place on it, turned at random; the same shapes lie around it as decoys, so
what is on the object matters and what is beside it misleads. Pictures come with the mark's mask:
attention can be checked against the region that is known to decide.

Why it is drawn as it is:

- Marks are plain shapes of full contrast. A person tells them apart at once, and a network can
  learn them within minutes; rare shapes or faint ink would measure patience, not attention.
- Ink is pale or dark at random, the same for all marks of a picture, and object and background
  take their colours from one range for all classes: a colour histogram learns next to nothing.
- Decoys are drawn like the mark, of any shape, some half behind the object. Without them a
  network that pools shapes over the whole picture needs no notion of an object.
- The whole object lies inside the central crop that the pixel rule may take. Training must not
  crop the mark away either: random crops should keep most of the picture (``min_area`` 0.8).
"""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image

from dsah_infer.errors import DataError, UsageError
from dsah_train.data.records import Dataset, Part, one_hot
from dsah_train.data.scenes import MARKS, Scene, draw_scene

__all__ = ["MARK_SIZES", "EmbeddedMarks", "parse_spec"]

#: The mark sizes that reports compare: small, default, large.
MARK_SIZES = (0.12, 0.18, 0.25)
PREFIX = "embedded:marks"
_PARTS = ("train", "query")


@dataclass(frozen=True)
class EmbeddedMarks:
    """Parameters of an embedded set; equal parameters draw equal pixels.

    Attributes:
        classes: C, number of mark shapes, 2 to 12.
        train: Training pictures per class; they are the gallery too.
        query: Query pictures per class.
        size: Side of the pictures in pixels, 32 to 1024.
        mark: Diameter of the mark as a share of the side, 0.06 to 0.3, varied by 15 % either way.
        clutter: Number of coloured shapes on the background.
        decoys: Number of marks of random shape on the background.
        seed: Seed of everything that is drawn.
        painted_over: Leave the mark out, so that the object's skin fills its place.
    """

    classes: int = 8
    train: int = 100
    query: int = 25
    size: int = 128
    mark: float = 0.18
    clutter: int = 25
    decoys: int = 5
    seed: int = 0
    painted_over: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("classes", 2, len(MARKS)),
            ("train", 1, 100_000),
            ("query", 1, 100_000),
            ("size", 32, 1024),
            ("mark", 0.06, 0.3),
            ("clutter", 0, 1000),
            ("decoys", 0, 1000),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"embedded set: {name} = {value}, allowed: {low} to {high}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the shapes, sorted, as folders of them would be."""
        return tuple(sorted(tuple(MARKS)[: self.classes]))

    def scene(self, part: str, index: int) -> Scene:
        """Draw picture ``index`` of ``part``; pictures lie class after class."""
        label = index // getattr(self, part)
        return draw_scene(
            np.random.default_rng((self.seed, _PARTS.index(part), index)),
            self.class_names[label],
            size=self.size,
            mark=self.mark,
            clutter=self.clutter,
            decoys=self.decoys,
            painted_over=self.painted_over,
        )

    def dataset(self) -> Dataset:
        """The set as a `Dataset` with masks; pictures are drawn when they are read."""
        train, query = (self._part(part) for part in _PARTS)
        return Dataset(
            name="embedded-marks",
            class_names=self.class_names,
            train=train,
            query=query,
            gallery=train,
            protocol=self.spec(),
            split_seed=self.seed,
            multi_label=False,
        )

    def spec(self) -> str:
        """The string from which `load_dataset` makes this set."""
        pairs = (f"{name}={int(v) if isinstance(v, bool) else v}" for name, v in vars(self).items())
        return f"{PREFIX}?{'&'.join(pairs)}"

    def write_folder(self, path: str | os.PathLike[str]) -> Path:
        """Write PNG files under ``train/ query/ masks/``, which `load_dataset` reads back.

        The folder appears when it is complete, never half written.

        Raises:
            DataError: ``path`` exists.
        """
        target = Path(path)
        if target.exists():
            raise DataError(f"{target} exists; give a folder that does not, or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            root = Path(temporary) / "set"
            for part in _PARTS:
                for index, name in enumerate(self._names(part)):
                    scene = self.scene(part, index)
                    for place, pixels in ((name, scene.image), (f"masks/{name}", scene.mask * 255)):
                        file = root / place
                        file.parent.mkdir(parents=True, exist_ok=True)
                        Image.fromarray(pixels).save(file)
            root.rename(target)
        return target

    def _names(self, part: str) -> tuple[str, ...]:
        count = getattr(self, part)
        return tuple(f"{part}/{c}/{i:05d}.png" for c in self.class_names for i in range(count))

    def _part(self, part: str) -> Part:
        return Part(
            names=self._names(part),
            targets=one_hot(np.repeat(np.arange(self.classes), getattr(self, part)), self.classes),
            read=_Drawn(self, part, mask=False),
            masks=_Drawn(self, part, mask=True),
        )


@dataclass(frozen=True)
class _Drawn:
    """Reader of drawn pictures, as lightly compressed PNG files."""

    marks: EmbeddedMarks
    part: str
    mask: bool

    def __call__(self, index: int) -> bytes:
        scene = self.marks.scene(self.part, index)
        file = io.BytesIO()
        pixels = scene.mask * 255 if self.mask else scene.image
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        return file.getvalue()


def parse_spec(spec: str, *, seed: int = 0) -> EmbeddedMarks:
    """Read ``embedded:marks`` or ``embedded:marks?classes=8&mark=0.12&...``.

    Args:
        spec: Fields of `EmbeddedMarks` after the question mark.
        seed: Seed, unless the text gives one.

    Raises:
        UsageError: Another set than ``marks``, an unknown field or a value out of range.
    """
    head, _, query = spec.partition("?")
    if head != PREFIX:
        raise UsageError(f"{spec!r}: the embedded set is {PREFIX}, as in {PREFIX}?mark=0.12")
    kinds = {f.name: _KINDS[str(f.type)] for f in dataclasses.fields(EmbeddedMarks)}
    values: dict[str, int | float | bool] = {"seed": seed}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in kinds:
            raise UsageError(f"{spec!r}: no field {name!r}; allowed: {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except (ValueError, KeyError):
            raise UsageError(f"{spec!r}: {name} = {text!r} is not a value for it") from None
    return EmbeddedMarks(**values)  # type: ignore[arg-type]


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


_KINDS: dict[str, Callable[[str], int | float | bool]] = {"int": int, "float": float, "bool": _flag}
