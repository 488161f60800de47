"""The public signatures, checked by `mypy --strict` and never run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsah_infer import DsahError, Encoder, HammingIndex, __version__
from dsah_infer.benchmark import Benchmark
from dsah_infer.contract import CodeContract, PixelRule
from dsah_infer.errors import PictureError, UsageError
from dsah_infer.gallery import Gallery, Hit
from dsah_infer.preprocess import load_picture
from dsah_infer.saliency import overlay

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def encoder(picture: Image.Image, array: Bytes) -> None:
    made = Encoder("model.onnx")
    made = Encoder(Path("model.onnx"), device="cuda", threads=2, batch_size=16)
    assert_type(made.encode("a.jpg"), Bytes)
    assert_type(made.encode(Path("a.jpg")), Bytes)
    assert_type(made.encode(b"..."), Bytes)
    assert_type(made.encode(picture), Bytes)
    assert_type(made.encode(array), Bytes)
    assert_type(made.encode(["a.jpg", Path("b.jpg"), b"", picture, array], progress=True), Bytes)
    assert_type(made.encode(str(i) for i in range(3)), Bytes)
    assert_type(made.activations([picture]), Floats)
    assert_type(made.saliency("a.jpg"), Floats)
    for path, result in made.encode_files([Path("a.jpg")], on_error="skip", progress=True):
        Path(path)
        assert_type(result, Bytes | PictureError)
    assert_type(made.bits, int)
    assert_type(made.symbol_bits, int)
    assert_type(made.method, str)
    assert_type(made.space, str)
    assert_type(made.fingerprint, str)
    assert_type(made.provider, str)
    assert_type(made.contract, CodeContract)
    assert_type(made.contract.pixels, PixelRule)
    assert_type(made.new_index(), HammingIndex)
    assert_type(made.benchmark(batch_size=8, seconds=1.0), Benchmark)
    with made as same:
        assert_type(same, Encoder)
    assert_type(made.close(), None)


async def asynchronous(made: Encoder) -> None:
    assert_type(await made.aencode(["a.jpg"]), Bytes)


def index(codes: Bytes, contract: CodeContract) -> None:
    made = HammingIndex(48, symbol_bits=1, contract=contract, threads=2)
    made.add(codes)
    made.add(codes, ids=[1, 2])
    assert_type(made.add(codes, contract=contract, other_fingerprint="accept"), int)
    assert_type(made.upsert(codes, [1, 2], contract=contract, other_fingerprint="refuse"), int)
    made.search(codes, 10, contract=contract, other_fingerprint="accept")
    lims, within, near = made.range_search(
        codes, 3, limit=5, contract=contract, other_fingerprint="accept"
    )
    assert_type((lims, near), tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]])
    assert_type(within, npt.NDArray[np.int32])
    counts = made.count(codes, 3, contract=contract, other_fingerprint="accept")
    assert_type(counts, npt.NDArray[np.int64])
    distances, ids = made.search(codes, 10)
    assert_type(distances, npt.NDArray[np.int32])
    assert_type(ids, npt.NDArray[np.int64])
    made.save(Path("gallery.dsah"))
    assert_type(HammingIndex.load("gallery.dsah", mmap=True), HammingIndex)
    assert_type(len(made), int)
    assert_type(made.bits, int)
    assert_type(made.sections, dict[str, bytes])
    assert_type(iter(made), Iterator[tuple[Bytes, npt.NDArray[np.int64]]])


def gallery(made: Encoder, codes: Bytes) -> None:
    new = Gallery.new("gallery.dsah", made)
    assert_type(new.put(["a.jpg"], codes, made.contract), tuple[int, int])
    assert_type(new.search(codes, 5, made.contract), list[list[Hit]])
    assert_type(Gallery.load("gallery.dsah").items, dict[int, str])


def pictures(array: Bytes, heat: Floats) -> None:
    assert_type(load_picture("a.jpg", PixelRule()), Bytes)
    assert_type(overlay(array, heat), Bytes)


def errors(error: DsahError, usage: UsageError, picture: PictureError) -> None:
    assert_type(error.exit_code, int)
    assert_type(picture.name, str)
    assert_type(picture.reason, str)
    value: ValueError = usage
    assert_type(str(value), str)
    assert_type(__version__, str)
