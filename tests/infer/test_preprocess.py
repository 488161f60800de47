"""The pixel rule: golden pictures, a slow twin, limits, and hostile files."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from dsah_infer import Encoder, preprocess
from dsah_infer.contract import PixelRule
from dsah_infer.errors import ContractError, PictureError
from dsah_infer.preprocess import load_picture
from tests.infer.make_golden import DEEP, GOLDEN, deep_png, exif, scene

RULE = PixelRule(size=32)
CODES = json.loads((GOLDEN / "codes.json").read_text())


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def slow_twin(image: Image.Image, rule: PixelRule) -> npt.NDArray[np.uint8]:
    """The rule without its shortcuts: the whole picture is turned, coloured and resized."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    side = rule.crop * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    resample = getattr(Image.Resampling, rule.filter.upper())
    return np.asarray(image.resize((rule.size, rule.size), resample, box=box))


# -- golden pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CODES))
def test_golden_codes(name: str) -> None:
    if name.endswith(".avif") and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    with Encoder(GOLDEN / "model.onnx", threads=1) as encoder:
        code = encoder.encode(GOLDEN / name)[0]
    assert code.tobytes().hex() == CODES[name]


def test_golden_files_are_all_covered_and_small() -> None:
    files = {path.name: path.stat().st_size for path in GOLDEN.iterdir()}
    assert set(files) == {*CODES, "codes.json", "model.onnx"}
    assert sum(files.values()) < 320_000


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_the_upright_picture_to_the_byte(orientation: int) -> None:
    expected = load_picture(GOLDEN / "png-rgb.png", RULE)
    turned = load_picture(GOLDEN / f"turned-{orientation}.png", RULE)
    np.testing.assert_array_equal(turned, expected)


@pytest.mark.parametrize(
    "name",
    ["png-rgb.png", "tiff-lzw.tiff", "tiff-turned.tiff", "tiff-pages.tiff", "webp-turned.webp"],
)
def test_lossless_formats_agree_to_the_byte(name: str) -> None:
    expected = slow_twin(scene().convert("RGB"), RULE)
    np.testing.assert_array_equal(load_picture(GOLDEN / name, RULE), expected)


# -- the rule against its slow twin ----------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@example(width=37, height=37, size=37, crop=0.3, orientation=1)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.integers(1, 40),
    crop=st.sampled_from([0.3, 0.5, 0.875, 1.0]),
    orientation=st.integers(1, 8),
)
def test_cropping_first_moves_no_byte_by_more_than_rounding(
    width: int, height: int, size: int, crop: float, orientation: int
) -> None:
    rng = np.random.default_rng([width, height])
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(pixels), "PNG", exif=exif(orientation))
    rule = PixelRule(size=size, crop=crop)
    with Image.open(io.BytesIO(content)) as image:
        expected = slow_twin(image, rule)
    difference = np.abs(load_picture(content, rule).astype(int) - expected)
    # Pillow rounds to bytes after each of its two passes, whose order depends on the frame; a box
    # that moved by whole pixels has another last bit, and a half then rounds the other way.
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.01


@pytest.mark.parametrize("kind", ["bilinear", "bicubic", "lanczos"])
def test_the_margin_holds_all_that_each_filter_needs(kind: str) -> None:
    image, rule = scene(400, 300).convert("RGB"), PixelRule(size=32, crop=0.5, filter=kind)
    np.testing.assert_array_equal(load_picture(image, rule), slow_twin(image, rule))


def test_all_sources_agree(tmp_path: Path) -> None:
    image = scene().convert("RGB")
    path = tmp_path / "scene.png"
    image.save(path)
    expected = load_picture(path, RULE)
    assert expected.shape == (32, 32, 3)
    assert expected.dtype == np.uint8
    content = path.read_bytes()
    for source in (str(path), content, bytearray(content), memoryview(content), image):
        np.testing.assert_array_equal(load_picture(source, RULE), expected)
    array = np.asarray(image)
    for view in (array, np.asfortranarray(array), np.ascontiguousarray(array[::-1])[::-1]):
        np.testing.assert_array_equal(load_picture(view, RULE), expected)


def test_a_pil_image_is_left_unchanged() -> None:
    with Image.open(GOLDEN / "turned-6.jpg") as image:
        before = (image.size, image.mode)
        load_picture(image, RULE)
        assert (image.size, image.mode) == before
        assert image.getexif()[0x0112] == 6


def test_transparency_lies_over_white() -> None:
    clear = np.zeros((40, 40, 4), np.uint8)
    assert (load_picture(clear, RULE) == 255).all()
    half = np.full((40, 40, 4), (255, 0, 0, 128), np.uint8)
    assert np.ptp(load_picture(half, RULE)[..., 1]) == 0
    assert abs(int(load_picture(half, RULE)[0, 0, 1]) - 127) <= 1


def test_sixteen_bits_are_scaled_not_cut() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 64, axis=0)
    rule = PixelRule(size=64, crop=1.0)
    square = load_picture(encoded(Image.fromarray(ramp), "PNG"), rule)
    np.testing.assert_array_equal(square[0, :, 0], np.round(ramp[0] / 257))


@pytest.mark.parametrize("name", ["tiff-i16.tiff", "tiff-i16-big-endian.tiff", "tiff-i32.tiff"])
def test_wide_grey_is_the_same_in_every_layout(name: str) -> None:
    expected = load_picture(GOLDEN / "png-i16.png", RULE)
    np.testing.assert_array_equal(load_picture(GOLDEN / name, RULE), expected)


@pytest.mark.parametrize("alpha", [False, True])
def test_wide_colour_keeps_its_high_bytes(alpha: bool) -> None:
    image = scene(*DEEP) if alpha else scene(*DEEP).convert("RGB")
    name = "png-rgba16.png" if alpha else "png-rgb16.png"
    np.testing.assert_array_equal(load_picture(GOLDEN / name, RULE), load_picture(image, RULE))


def test_a_transparent_value_of_wide_grey_is_white() -> None:
    rule = PixelRule(size=2, crop=1.0)
    samples = np.array([[[257], [514]], [[51400], [257]]], np.uint16)
    square = load_picture(deep_png(0, samples, b"\x01\x01"), rule)
    np.testing.assert_array_equal(square[..., 0], [[255, 2], [200, 255]])


def test_the_first_of_two_pictures_counts() -> None:
    both = load_picture(GOLDEN / "two-pictures.mpo", RULE)
    np.testing.assert_array_equal(both, load_picture(GOLDEN / "jpeg-rgb.jpg", RULE))


def test_a_jpeg_is_drafted_but_never_below_twice_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[tuple[int, int]] = []
    original = preprocess._centre

    def spy(image: Image.Image, side: float, margin: int) -> Image.Image:
        decoded.append(image.size)
        assert side >= 2 * 32
        return original(image, side, margin)

    monkeypatch.setattr(preprocess, "_centre", spy)
    content = encoded(scene(900, 700).convert("RGB"), "JPEG")
    load_picture(content, RULE)
    assert decoded == [(113, 88)], "an eighth; the crop of 77 pixels is more than 2 x 32"
    load_picture(content, PixelRule(size=64))
    assert decoded[1] == (225, 175)


#: Reads VmHWM: getrusage would count what the parent had at the fork, and hide what grows here.
PEAK = """
import pathlib, sys
from dsah_infer.contract import PixelRule
from dsah_infer.preprocess import load_picture

def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

load_picture(sys.argv[2], PixelRule())
before = peak()
load_picture(sys.argv[1], PixelRule())
print(peak() - before)
"""


def peak_of(path: Path) -> float:
    """MiB by which the peak memory of a fresh process grows when it reads one picture."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(GOLDEN / "tiny-1x1.png")],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize("name", ["row-30000x1.png", "column-1x30000.png"])
def test_a_long_thin_picture_costs_only_its_box(name: str) -> None:
    assert load_picture(GOLDEN / name, RULE).shape == (32, 32, 3)
    assert peak_of(GOLDEN / name) < 32, "resized as a whole it would be 224 x 6,720,000: 4.5 GB"


# -- what is refused, and how it is said -----------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32 array"),
        (np.zeros((4, 4, 3), np.int64), "int64 array"),
        (np.zeros((3, 40, 50), np.uint8), "channels go last"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "nothing to see"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (None, "NoneType"),
        (b"", "empty file"),
        (b"GIF89a", "damaged or not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "damaged or not a picture"),
    ],
)
def test_a_wrong_source_is_named(array: object, says: str) -> None:
    with pytest.raises(PictureError, match="the third one: ") as caught:
        load_picture(array, RULE, name="the third one")
    assert says in caught.value.reason
    assert caught.value.name == "the third one"


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path, says in [
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
    ]:
        with pytest.raises(PictureError, match=says) as caught:
            load_picture(path, RULE)
        assert caught.value.name == str(path)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_truncated_file_is_an_error_not_a_grey_half() -> None:
    for name in ("jpeg-rgb.jpg", "png-rgb.png", "webp-lossy.webp", "tiff-lzw.tiff"):
        content = (GOLDEN / name).read_bytes()
        with pytest.raises(PictureError):
            load_picture(content[: len(content) // 2], RULE)


def test_floating_point_pictures_are_refused() -> None:
    picture = encoded(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF")
    with pytest.raises(PictureError, match="floating-point"):
        load_picture(picture, RULE)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_counts_as_upright() -> None:
    image = scene().convert("RGB")
    broken = encoded(image, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(20))
    np.testing.assert_array_equal(load_picture(broken, RULE), slow_twin(image, RULE))


@pytest.mark.parametrize(
    "rule",
    [
        PixelRule(version=2),
        PixelRule(version=0),
        PixelRule(filter="spline"),
        PixelRule(size=0),
        PixelRule(crop=0),
    ],
)
def test_an_unknown_rule_is_refused(rule: PixelRule) -> None:
    with pytest.raises(ContractError, match="pixel rule"):
        load_picture(np.zeros((9, 9, 3), np.uint8), rule)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (13_000, 13_000)])
def test_absurd_sizes_are_refused_before_they_are_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    for guard in (Image.MAX_IMAGE_PIXELS, None):  # also where a program lifted Pillow's own
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", guard)
        with pytest.raises(PictureError):
            load_picture(png_header(*size), RULE)


def test_a_progressive_jpeg_counts_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "MAX_DECODED_PIXELS", 500_000)
    image = scene(900, 700).convert("RGB")
    assert load_picture(encoded(image, "JPEG"), RULE).shape == (32, 32, 3)
    with pytest.raises(PictureError, match="limit"):
        load_picture(encoded(image, "JPEG", progressive=True), RULE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGBA", "png", {}),
        ("LA", "png", {}),
        ("I;16", "tiff", {}),
        ("CMYK", "jpeg", {}),
        ("RGB", "jpeg", {"progressive": True}),
        ("RGB", "webp", {"lossless": True, "method": 0}),
    ],
)
def test_the_largest_pictures_cost_less_than_a_gibibyte(
    tmp_path: Path, mode: str, kind: str, options: dict[str, object]
) -> None:
    path = tmp_path / f"large.{kind}"
    Image.new(mode, (8180, 8180)).save(path, **options)
    assert peak_of(path) < 1024


def test_a_file_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.webp"
    with path.open("wb") as stream:
        stream.truncate(preprocess.MAX_FILE_BYTES + 1)
    with pytest.raises(PictureError, match="limit"):
        load_picture(path, RULE)


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "LARGE_PIXELS", 1000)
    inside, most = [0], [0]
    original = preprocess._centre

    def spy(image: Image.Image, side: float, margin: int) -> Image.Image:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.01)
        inside[0] -= 1
        return original(image, side, margin)

    monkeypatch.setattr(preprocess, "_centre", spy)
    content = (GOLDEN / "png-rgb.png").read_bytes()
    workers = [threading.Thread(target=load_picture, args=(content, RULE)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert most == [1]
