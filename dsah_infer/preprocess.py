"""The written rule by which a picture becomes the uint8 square that a model sees (version 1).

Training, evaluation and runtime all call `load_picture`; nothing else decodes a picture.

1. **Source.** A path, the bytes of a file, a PIL image, or a uint8 array (H, W), (H, W, 3) or
   (H, W, 4). Files are recognised by content, never by extension, and only as one of
   `FORMATS`; of an animated or multi-page file the first frame counts.
2. **Limits.** A file has at most `MAX_FILE_BYTES`, a picture at most `MAX_PIXELS`, of which at
   most `MAX_DECODED_PIXELS` are really decoded (after step 3); pictures of more than
   `LARGE_PIXELS` are decoded one at a time, each in less than 1 GiB of memory.
3. **Draft.** A JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 of its size that keeps the
   side of the crop at no less than twice S.
4. **Crop.** The centre square whose side is ``crop`` times the shorter side, in fractions of a
   pixel. Only this box, and the few pixels around it that the filter needs, goes on.
5. **Orientation** of EXIF is applied; one that cannot be read counts as upright.
6. **Colour.** 16-bit grey v becomes round(v / 257), 16-bit colour keeps its high bytes;
   transparency is laid over white; CMYK, palette, grey and the rest become RGB by Pillow's rule.
   Colour profiles are not applied. Floating-point pictures have no known range and are refused.
7. **Resize.** Once, to S x S, with Pillow's antialiased filter ``filter`` on the RGB bytes.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from dsah_infer.contract import PixelRule
from dsah_infer.errors import ContractError, PictureError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = [
    "FORMATS",
    "MAX_DECODED_PIXELS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "RULE_VERSION",
    "Picture",
    "check_rule",
    "load_picture",
]

Picture = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | npt.NDArray[Any]

RULE_VERSION = 1
#: Widely used, and decoded inside this process: EPS, for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_FILE_BYTES = 512 * 2**20
#: The size at which Pillow too speaks of a decompression bomb: 179 megapixels.
MAX_PIXELS = 178_956_970
MAX_DECODED_PIXELS = 2**26
LARGE_PIXELS = 2**24

#: Filter and its radius in target pixels.
_FILTERS = {
    "bilinear": (Image.Resampling.BILINEAR, 1),
    "bicubic": (Image.Resampling.BICUBIC, 2),
    "lanczos": (Image.Resampling.LANCZOS, 3),
}
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class _LargeGate:
    """Lets one large picture be decoded at a time, so that memory is bounded by one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A child forked while another thread decodes would wait for a thread it does not have.
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, pixels: int) -> AbstractContextManager[object]:
        return self._lock if pixels > LARGE_PIXELS else contextlib.nullcontext()


_large_gate = _LargeGate()


def load_picture(
    source: Picture, rule: PixelRule, *, name: str | None = None
) -> npt.NDArray[np.uint8]:
    """Decode, crop, orient and resize one picture by the rule at the top of this module.

    Args:
        source: Path, file content, PIL image (left unchanged), or uint8 array (H, W),
            (H, W, 3) RGB or (H, W, 4) RGBA with values 0 to 255.
        rule: Size, crop and filter.
        name: How an error calls the picture; default its path, else ``picture``.

    Returns:
        uint8 RGB, shape (S, S, 3), values 0 to 255.

    Raises:
        PictureError: It cannot be read, is not a picture, or exceeds a limit.
        ContractError: The rule is of a version or filter that this dsah does not know.
    """
    check_rule(rule)
    if name is None:
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else "picture"
    try:
        if isinstance(source, Image.Image):
            return _square(source, rule)
        if isinstance(source, np.ndarray):
            return _square(_from_array(source), rule)
        return _from_file(source, rule)
    except _UnusableError as error:
        raise PictureError(name, str(error)) from None
    except FileNotFoundError:
        raise PictureError(name, "no such file") from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise PictureError(name, f"damaged or not a picture of a known format ({known})") from None
    except Exception as error:
        # Decoders meet hostile bytes with errors of every class (SyntaxError, KeyError,
        # struct.error, ...): whatever they raise, this picture cannot be read.
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise PictureError(name, f"cannot be read as a picture ({detail})") from error


def check_rule(rule: PixelRule) -> None:
    """Refuse a rule that this dsah cannot follow.

    Raises:
        ContractError: Its version or filter is not known, or its size or crop impossible.
    """
    if not 1 <= rule.version <= RULE_VERSION or rule.filter not in _FILTERS:
        raise ContractError(
            f"pixel rule version {rule.version} with filter {rule.filter!r} is not known; this "
            f"dsah knows versions 1 to {RULE_VERSION} and {', '.join(_FILTERS)}; upgrade dsah"
        )
    if not (1 <= rule.size <= 4096 and 0 < rule.crop <= 1):
        raise ContractError(
            f"pixel rule size {rule.size}, crop {rule.crop}; allowed: 1 to 4096, and (0, 1]"
        )


class _UnusableError(Exception):
    """Carries a reason to the place that knows the picture's name."""


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    layout = "uint8 (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey"
    if array.dtype != np.uint8:
        raise _UnusableError(
            f"{array.dtype} array; expected {layout}, values 0 to 255 "
            "(floats in [0, 1]: multiply by 255, round, then astype(np.uint8))"
        )
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        hint = "; channels go last" if array.ndim == 3 and array.shape[0] in (3, 4) else ""
        raise _UnusableError(f"array of shape {array.shape}; expected {layout}{hint}")
    _check_size(array.shape[1], array.shape[0], array.shape[0] * array.shape[1])
    return Image.fromarray(np.ascontiguousarray(array))


def _from_file(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview, rule: PixelRule
) -> npt.NDArray[np.uint8]:
    stream: io.BytesIO | Path
    if isinstance(source, str | os.PathLike):
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):
            raise _UnusableError("not a regular file")  # a pipe would hang, a device never end
        size, stream = status.st_size, Path(source)
    elif isinstance(source, bytes | bytearray | memoryview):
        size, stream = len(source), io.BytesIO(source)
    else:
        raise _UnusableError(
            f"{type(source).__name__} is not a picture; allowed: a path, the bytes of a file, a "
            "PIL image or a uint8 array (H, W, 3)"
        )
    if size == 0:
        raise _UnusableError("empty file (0 bytes)")
    if size > MAX_FILE_BYTES:
        raise _UnusableError(f"file of {size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
    with Image.open(stream, formats=_known_formats()) as image:
        if image.info.get("progressive"):  # holds all coefficients, at whatever scale it decodes
            _check_size(image.width, image.height, image.width * image.height)
        side = math.ceil(2 * rule.size / rule.crop)
        image.draft(None, (side, side))
        return _square(image, rule, own=True)


def _known_formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _check_size(width: int, height: int, decoded: int) -> None:
    if width < 1 or height < 1:
        raise _UnusableError(f"{width} x {height} pixels: there is nothing to see")
    if width * height > MAX_PIXELS or decoded > MAX_DECODED_PIXELS:
        raise _UnusableError(
            f"{width} x {height} pixels; the limit is {MAX_DECODED_PIXELS:,} decoded pixels "
            f"({MAX_PIXELS:,} for a JPEG that can be decoded at a fraction of its size)"
        )


def _square(image: Image.Image, rule: PixelRule, *, own: bool = False) -> npt.NDArray[np.uint8]:
    """Steps 4 to 7 on an opened picture; one of our ``own`` is closed as soon as it can be."""
    pixels = image.width * image.height
    _check_size(image.width, image.height, pixels)
    resample, radius = _FILTERS[rule.filter]
    with _large_gate(pixels):
        image.load()
        side = rule.crop * min(image.size)
        margin = math.ceil(radius * max(1.0, side / rule.size)) + 1
        part, turn = _centre(image, side, margin), _turn(image)
        if own:
            image.close()  # frees its pixels, which may be hundreds of megabytes
        part = _rgb(part if turn is None else part.transpose(turn))
        left, top = (part.width - side) / 2, (part.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(part.resize((rule.size, rule.size), resample, box=box))


def _centre(image: Image.Image, side: float, margin: int) -> Image.Image:
    """The box and its margin, in whole pixels, the same distance from opposite edges."""
    left = max(0, math.floor((image.width - side) / 2) - margin)
    top = max(0, math.floor((image.height - side) / 2) - margin)
    return image.crop((left, top, image.width - left, image.height - top))


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF must not cost a readable picture
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _UnusableError("floating-point pixels have no known range; save it as 8 or 16 bit")
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.int32)
        clear = image.info.get("transparency")  # the one value that stands for nothing
        if isinstance(clear, int):
            wide[wide == clear] = 65535  # white
        np.clip(wide, 0, 65535, out=wide)
        wide += 128
        wide //= 257
        image = Image.fromarray(wide.astype(np.uint8))
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        white.alpha_composite(image)  # in place
        image = white
    return image if image.mode == "RGB" else image.convert("RGB")
