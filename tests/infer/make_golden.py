"""Makes the golden pictures and their codes once: python -m tests.infer.make_golden

Pictures that are there stay as they are: they stand for files that people already have. Run this
again to add pictures; codes that change need a new version of the pixel rule and a word in the
changelog.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dsah_infer import Encoder
from tests.infer.tiny_model import write_tiny_model

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
ORIENTATION = 0x0112
#: Far above what runtimes differ in (1e-6), so that codes can be compared exactly.
CLOSE_CALL = 1e-4
#: Width and height of the pictures with 16 bits per channel; they hardly compress.
DEEP = (48, 36)
#: The turn that a viewer applies for each EXIF orientation, undone to store the picture.
STORED_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 96, height: int = 72) -> Image.Image:
    """An RGBA scene without any symmetry: a gradient, a disc, a bar, a transparent corner."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    bands = [x / width, y / height, 0.5 + 0.5 * np.sin(x / 7 + y / 11)]
    pixels = np.round(255 * np.stack(bands, axis=-1)).astype(np.uint8)
    image = Image.fromarray(pixels).convert("RGBA")
    draw = ImageDraw.Draw(image)
    u = min(width, height)
    draw.ellipse((0.3 * width, 0.2 * height, 0.3 * width + 0.4 * u, 0.2 * height + 0.4 * u), "red")
    draw.rectangle((0.55 * width, 0.55 * height, 0.9 * width, 0.7 * height), (20, 40, 220, 255))
    draw.polygon([(0, height), (0.45 * width, height), (0, 0.5 * height)], (0, 0, 0, 0))
    return image


def exif(orientation: int) -> bytes:
    """An EXIF block with nothing but an orientation."""
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block.tobytes()


def pictures() -> dict[str, bytes]:
    """Name -> content of each golden file."""
    rgba = scene()
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    palette = rgb.quantize(8)
    commonest = int(np.bincount(np.asarray(palette).ravel()).argmax())
    frames = [rgb, rgb.transpose(Image.Transpose.ROTATE_180)]
    made = {
        "png-1.png": (rgb.convert("1"), {}),
        "png-l.png": (grey, {}),
        "png-la.png": (rgba.convert("LA"), {}),
        "png-p.png": (palette, {}),
        "png-p-transparent.png": (palette, {"transparency": commonest}),
        "png-l-transparent.png": (grey, {"transparency": int(np.asarray(grey)[0, 0])}),
        "png-rgb.png": (rgb, {}),
        "png-rgb-transparent.png": (rgb, {"transparency": (255, 0, 0)}),
        "png-rgba.png": (rgba, {}),
        "png-i16.png": (wide, {}),
        "png-animated.png": (frames[0], {"save_all": True, "append_images": frames[1:]}),
        "jpeg-rgb.jpg": (rgb, {"quality": 90}),
        "jpeg-progressive.jpg": (rgb, {"quality": 90, "progressive": True}),
        "jpeg-l.jpg": (grey, {"quality": 90}),
        "jpeg-cmyk.jpg": (rgb.convert("CMYK"), {"quality": 90}),
        "two-pictures.mpo": (
            frames[0],
            {"quality": 90, "save_all": True, "append_images": [frames[1].copy()]},
        ),
        "jpeg-large-draft.jpg": (scene(900, 700).convert("RGB"), {"quality": 60}),
        "webp-lossy.webp": (rgb, {"quality": 80}),
        "webp-turned.webp": (
            rgb.transpose(Image.Transpose.ROTATE_90),
            {"lossless": True, "exif": exif(6)},
        ),
        "webp-rgba.webp": (rgba, {"lossless": True, "exact": True}),
        "webp-animated.webp": (frames[0], {"save_all": True, "append_images": frames[1:]}),
        "gif-animated.gif": (palette, {"save_all": True, "append_images": frames[1:]}),
        "gif-transparent.gif": (palette, {"transparency": commonest}),
        "bmp.bmp": (rgb.resize((48, 36)), {}),
        "ppm.ppm": (rgb.resize((48, 36)), {}),
        "tiff-lzw.tiff": (rgb, {"compression": "tiff_lzw"}),
        "tiff-cmyk.tiff": (rgb.convert("CMYK"), {"compression": "tiff_lzw"}),
        "tiff-i16.tiff": (wide, {"compression": "tiff_lzw"}),
        "tiff-i16-big-endian.tiff": (Image.fromarray(np.asarray(wide).astype(">u2")), {}),
        "tiff-i32.tiff": (
            Image.fromarray(np.asarray(wide).astype(np.int32)),
            {"compression": "tiff_deflate"},
        ),
        "tiff-pages.tiff": (
            frames[0],
            {
                "compression": "tiff_deflate",
                "save_all": True,
                "append_images": [rgb.resize((24, 18))],
            },
        ),
        "tiff-turned.tiff": (
            rgb.transpose(Image.Transpose.ROTATE_90),
            {"compression": "tiff_lzw", "tiffinfo": {ORIENTATION: 6}},
        ),
        "avif.avif": (rgb, {"quality": 80}),
        "avif-rgba.avif": (rgba, {"quality": 80}),
        "avif-turned.avif": (
            rgb.transpose(Image.Transpose.ROTATE_90),
            {"quality": 80, "exif": exif(6)},
        ),
        "tiny-1x1.png": (rgb.resize((1, 1)), {}),
        "row-30000x1.png": (rgb.resize((30000, 1)), {}),
        "column-1x30000.png": (rgb.resize((1, 30000)), {}),
    }
    for number, turn in STORED_BY.items():
        stored = rgb if turn is None else rgb.transpose(turn)
        made[f"turned-{number}.png"] = (stored, {"exif": exif(number)})
        made[f"turned-{number}.jpg"] = (stored, {"quality": 90, "exif": exif(number)})
    files = {}
    for name, (image, options) in made.items():
        stream = io.BytesIO()
        kind = {"jpg": "JPEG", "ppm": "PPM"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        image.copy().save(stream, kind.upper(), **options)  # JPEG leaves settings in the picture
        files[name] = stream.getvalue()
    files["wrong-extension.png"] = files["jpeg-rgb.jpg"]
    return files | _deep_pngs()


def _deep_pngs() -> dict[str, bytes]:
    """16 bits per channel, which Pillow reads and does not write."""
    rgba = np.asarray(scene(*DEEP)).astype(np.uint16) * 257
    rgba[..., 0] ^= 0x55  # low bytes of their own: scaling and cutting differ
    grey = np.asarray(scene(*DEEP).convert("LA")).astype(np.uint16) * 257
    commonest = int(np.bincount(grey[..., 0].ravel()).argmax())
    return {
        "png-rgb16.png": deep_png(2, rgba[..., :3]),
        "png-rgba16.png": deep_png(6, rgba),
        "png-la16.png": deep_png(4, grey),
        "png-i16-transparent.png": deep_png(0, grey[..., :1], struct.pack(">H", commonest)),
    }


def deep_png(colour: int, samples: npt.NDArray[np.uint16], transparent: bytes = b"") -> bytes:
    """A PNG of 16-bit samples (H, W, channels) with PNG's number of the colour type."""
    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    if transparent:
        chunks.append((b"tRNS", transparent))
    chunks += [(b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def main() -> None:
    """Write pictures, model and codes; refuse if a bit is too close to call."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    model = GOLDEN / "model.onnx"
    if not model.exists():
        write_tiny_model(model, 48)
    made = pictures()
    for name, content in made.items():
        if not (GOLDEN / name).exists():
            (GOLDEN / name).write_bytes(content)
    names = sorted(made)
    with Encoder(model) as encoder:
        codes = encoder.encode([GOLDEN / name for name in names])
        margins = np.abs(encoder.activations([GOLDEN / name for name in names])).min(axis=1)
    if margins.min() < CLOSE_CALL:
        raise SystemExit(f"an activation of {margins.min():.2g} could fall on either side of zero")
    record = {name: code.tobytes().hex() for name, code in zip(names, codes, strict=True)}
    (GOLDEN / "codes.json").write_text(json.dumps(record, indent=1) + "\n")
    total = sum(path.stat().st_size for path in GOLDEN.iterdir())
    print(f"{len(names)} pictures, {total:,} bytes, smallest |activation| {margins.min():.2g}")


if __name__ == "__main__":
    main()
