"""Files to codes: how near the whole comes to what decoding and inference allow together."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.encoding.pinned import pinned
from dsah_infer import Encoder
from dsah_infer.decoding import decode_ahead
from dsah_infer.onnx_file import read_model
from dsah_infer.preprocess import load_picture
from dsah_infer.session import OnnxSession
from dsah_train.data import load_dataset
from export.pictures import fixed_pictures

__all__ = ["large_photographs", "measure_pipeline", "query_files"]


def query_files(data: str, folder: Path, count: int) -> list[Path]:
    """The first pictures of a data set as files of their own."""
    part = load_dataset(data).query
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for i in range(min(count, len(part))):
        path = folder / f"{i:05}.jpg"
        if not path.exists():
            path.write_bytes(part.read(i))
        files.append(path)
    return files


def large_photographs(folder: Path, count: int) -> list[Path]:
    """JPEG files of 4000 x 3000 pixels, quality 90, with the detail and noise of a sensor."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for i, small in enumerate(fixed_pictures(512, count + 4)[4:]):
        path = folder / f"{i:03}.jpg"
        if not path.exists():
            big = Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC)
            noise = np.random.default_rng(i).normal(0, 6, (3000, 4000, 1))
            pixels = np.clip(np.asarray(big) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path, quality=90)
        files.append(path)
    return files


def measure_pipeline(
    model: Path, files: list[Path], *, threads: int, rounds: int = 3
) -> dict[str, Any]:
    """Time decoding alone, inference alone and both together, taking turns on the same cores.

    Inference alone gets squares that are decoded already, straight into a session like the
    encoder's own.

    Returns:
        Images per second ``decode``, ``inference``, ``whole``; ``bound`` = 1 / (1/D + 1/I), and
        ``share`` = whole / bound. Each is the median of the turns.
    """
    with pinned(threads), Encoder(model, device="cpu", threads=threads) as encoder:
        rule = encoder.contract.pixels
        squares = np.stack([load_picture(f, rule) for f in files[: encoder.batch_size]])
        session = OnnxSession(read_model(model), "cpu", threads)
        runs = -(-len(files) // len(squares))

        def decode() -> None:
            for _ in decode_ahead(files, rule, workers=threads, ahead=2 * encoder.batch_size):
                pass

        def infer() -> None:
            for _ in range(runs):
                session.run(["codes"], squares)

        def whole() -> None:
            for _ in encoder.encode_files(files):
                pass

        jobs = {"decode": (decode, len(files)), "inference": (infer, runs * len(squares)),
                "whole": (whole, len(files))}  # fmt: skip
        for job, _ in jobs.values():  # warm-up
            job()
        rates: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, (job, pictures) in jobs.items():
                rates[name].append(pictures / _seconds(job))
        session.close()
    found = {name: statistics.median(values) for name, values in rates.items()}
    bound = 1 / (1 / found["decode"] + 1 / found["inference"])
    return found | {"bound": bound, "share": found["whole"] / bound, "files": len(files),
                    "threads": threads}  # fmt: skip


def _seconds(job: Callable[[], None]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start
