"""Drawing of one embedded-set picture: clutter, one object, and the small mark that decides.

A scene is drawn from random numbers that do not know the class; the class only picks the shape
of the mark. With the mark left out, pictures of all classes come from one distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["MARKS", "Scene", "draw_scene"]

Points = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

#: Drawn at twice the size and averaged down, which smooths all edges.
OVERSAMPLE = 2
#: Marks are pale or dark; all marks of one picture share the ink, so it tells nothing.
_INKS: tuple[Colour, ...] = ((250, 245, 235), (20, 20, 30))


@dataclass(frozen=True)
class Scene:
    """One drawn picture.

    Attributes:
        image: uint8 RGB, shape (S, S, 3).
        mask: uint8 0/1, shape (S, S); 1 inside the disc that the mark fills.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]


def _turned(points: Points, angle: float) -> Points:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _regular(corners: int, radius: float = 1.0) -> Points:
    angles = np.arange(corners) * 2 * np.pi / corners
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_CIRCLE = _regular(40)
_OVAL = _regular(72)
_DIRECTIONS = _regular(360)


def _star(tips: int, inner: float) -> Points:
    points = _regular(2 * tips)
    points[1::2] *= inner
    return points


def _bar(width: float, offset: float = 0.0, length: float = 1.0) -> Points:
    return np.array(
        [
            (-length, offset - width),
            (length, offset - width),
            (length, offset + width),
            (-length, offset + width),
        ]
    )


def _plus(width: float) -> Points:
    corner = np.array([(1, -width), (1, width), (width, width)])
    return np.concatenate([_turned(corner, quarter * np.pi / 2) for quarter in range(4)])


Layers = tuple[tuple[Points, bool], ...]

#: The shapes of the marks: layers of (polygon, is it ink?) inside the unit disc.
MARKS: dict[str, Layers] = {
    "arrow": ((np.array([(1, 0), (-0.8, 0.75), (-0.3, 0), (-0.8, -0.75)], dtype=float), True),),
    "bar": ((_bar(0.28), True),),
    "crescent": ((_CIRCLE, True), (_regular(40, 0.85) + np.array([0.5, 0]), False)),
    "disc": ((_CIRCLE, True),),
    "plus": ((_plus(0.3), True),),
    "ring": ((_CIRCLE, True), (_regular(40, 0.55), False)),
    "square": ((_regular(4), True),),
    "stripes": ((_bar(0.17, -0.5, 0.8), True), (_bar(0.17, 0.5, 0.8), True)),
    "dots": tuple((_regular(20, 0.38) + shift, True) for shift in _regular(3, 0.6)),
    "half": ((_CIRCLE[:21], True),),
    "star": ((_star(5, 0.4), True),),
    "triangle": ((_regular(3), True),),
}
_SHAPES = tuple(MARKS)


def draw_scene(
    rng: np.random.Generator,
    shape: str,
    *,
    size: int,
    mark: float,
    clutter: int,
    decoys: int,
    painted_over: bool,
) -> Scene:
    """Draw one picture.

    All random numbers come from ``rng``, and how many are drawn does not depend on ``shape``: two
    calls with equal generators differ in the ink of the mark alone.

    Args:
        rng: Source of all chance.
        shape: Name in `MARKS` of the mark on the object.
        size: Side S in pixels.
        mark: Diameter of marks as a share of the side.
        clutter: Number of coloured shapes on the background.
        decoys: Number of marks of random shape on the background, partly behind the object.
        painted_over: Leave the mark out.
    """
    side = size * OVERSAMPLE
    image = _background(rng, side, clutter)
    centre = rng.uniform(0.4, 0.6, 2) * side
    radii = rng.uniform(0.22, 0.3) * side * np.array([1.0, rng.uniform(0.72, 0.95)])
    angle = rng.uniform(0, 2 * np.pi)
    ink = _INKS[rng.integers(len(_INKS))]
    for _ in range(decoys):
        decoy = _SHAPES[rng.integers(len(_SHAPES))]
        place = rng.uniform(0.08, 0.92, 2) * side
        _stamp(image, None, decoy, place, mark * side / 2, rng.uniform(0, 2 * np.pi), ink)
    _object(image, rng, centre, radii, angle)
    radius = mark * side / 2 * rng.uniform(0.85, 1.15)
    reach = np.sqrt(rng.uniform(0, 1)) * np.maximum(radii - 1.15 * radius, 0)
    place = centre + _turned(reach * _DIRECTIONS[rng.integers(360)], angle)
    turn = rng.uniform(0, 2 * np.pi)
    mask = Image.new("L", (side, side), 0)
    _stamp(None if painted_over else image, mask, shape, place, radius, turn, ink)
    small = image.resize((size, size), Image.Resampling.BOX)
    inside = mask.resize((size, size), Image.Resampling.BOX)
    return Scene(np.asarray(small), (np.asarray(inside) > 127).astype(np.uint8))


def _colour(rng: np.random.Generator, low: int = 30, high: int = 226) -> Colour:
    r, g, b = rng.integers(low, high, 3)
    return int(r), int(g), int(b)


def _polygon(draw: ImageDraw.ImageDraw, points: Points, fill: Colour | int) -> None:
    draw.polygon(points.ravel().tolist(), fill=fill)


def _noise(rng: np.random.Generator, side: int, cells: int, low: int, high: int) -> Image.Image:
    coarse = rng.integers(low, high, (cells, cells, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def _background(rng: np.random.Generator, side: int, clutter: int) -> Image.Image:
    image = _noise(rng, side, 5, 40, 216)
    draw = ImageDraw.Draw(image)
    for _ in range(clutter):
        shape = _star(int(rng.integers(3, 7)), rng.uniform(0.3, 1.0))
        shape = shape * rng.uniform(0.02, 0.14, 2) * side
        shape = _turned(shape, rng.uniform(0, 2 * np.pi)) + rng.uniform(0, side, 2)
        _polygon(draw, shape, _colour(rng))
    return image


def _object(
    image: Image.Image, rng: np.random.Generator, centre: Points, radii: Points, angle: float
) -> None:
    """A leathery oval with a rim: the same for all classes but for its pose and shade."""
    skin = np.asarray(_noise(rng, image.width, 24, 96, 160), dtype=np.int16)
    tint = np.array([18, 0, -28]) + int(rng.integers(-25, 26))
    tinted = Image.fromarray(np.clip(skin + tint, 0, 255).astype(np.uint8))
    outline = _turned(_OVAL * radii, angle)
    _polygon(ImageDraw.Draw(image), outline * 1.06 + centre, (60, 45, 35))
    oval = Image.new("L", image.size, 0)
    _polygon(ImageDraw.Draw(oval), outline + centre, 255)
    image.paste(tinted, (0, 0), oval)


def _stamp(
    image: Image.Image | None,
    mask: Image.Image | None,
    shape: str,
    place: Points,
    radius: float,
    turn: float,
    ink: Colour,
) -> None:
    corner = np.floor(place - radius).astype(int) - 1
    side = int(2 * radius) + 4
    if image is not None:
        stencil = Image.new("L", (side, side), 0)
        draw = ImageDraw.Draw(stencil)
        for points, is_ink in MARKS[shape]:
            _polygon(draw, _turned(points, turn) * radius + place - corner, 255 if is_ink else 0)
        image.paste(ink, (int(corner[0]), int(corner[1])), stencil)
    if mask is not None:
        _polygon(ImageDraw.Draw(mask), _CIRCLE * radius + place, 255)
