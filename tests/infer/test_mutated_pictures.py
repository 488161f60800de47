"""Mutated pictures: each is a code or a PictureError, the process lives, memory stays bounded."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infer.make_golden import GOLDEN

#: Runs in a process of its own, so that a crash is seen and its peak memory is its own.
SCRIPT = """
import json, random, sys, tempfile, warnings
from pathlib import Path
from dsah_infer import Encoder
from dsah_infer.errors import PictureError

warnings.simplefilter("ignore")  # Pillow describes the damage
golden, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
good = [p.read_bytes() for p in sorted(golden.iterdir()) if p.suffix not in (".json", ".onnx")]

def mutated():
    content = bytearray(rng.choice(good))
    kind = rng.randrange(8)
    if kind == 0:
        return bytes(content[: rng.randrange(len(content) + 1)])
    if kind == 1:
        return b""
    if kind == 2:  # the head, where sizes and offsets are
        for _ in range(rng.randrange(1, 6)):
            content[rng.randrange(min(64, len(content)))] = rng.choice((0, 1, 127, 128, 255))
    elif kind == 3:
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 4:  # a large number somewhere
        at = rng.randrange(len(content))
        content[at : at + 4] = rng.choice((b"\\x7f\\xff\\xff\\xff", b"\\xff\\xff\\xff\\x7f"))
    elif kind == 5:  # two files in one
        other = rng.choice(good)
        content[rng.randrange(len(content)) :] = other[rng.randrange(len(other)) :]
    elif kind == 6:
        a, b = sorted(rng.randrange(len(content)) for _ in range(2))
        del content[a:b]
    else:
        a = rng.randrange(len(content))
        content[a : a + rng.randrange(64)] = bytes(rng.randrange(256) for _ in range(64))
    return bytes(content)

def peak():  # getrusage would count what the parent had at the fork, and hide what grows here
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

def given(folder):
    '''Every other one as a file, mostly with the extension of another format.'''
    for i in range(count):
        if i % 2:
            yield mutated()
            continue
        path = folder / f"{i}{rng.choice(SUFFIXES)}"
        path.write_bytes(mutated())
        names.append(str(path))
        yield path

SUFFIXES = (".jpg", ".png", ".gif", ".webp", ".tiff", ".avif", ".txt", ".onnx", "")
names = []
with (
    tempfile.TemporaryDirectory() as folder,
    Encoder(golden / "model.onnx", threads=2) as encoder,
):
    encoder.encode(good[:8])
    before = peak()
    codes = errors = files = 0
    reasons = set()
    for path, result in encoder.encode_files(given(Path(folder)), on_error="skip"):
        if isinstance(path, Path):
            assert str(path) == names[files]
            files += 1
            path.unlink()
        if isinstance(result, PictureError):
            errors += 1
            assert not isinstance(path, Path) or result.name == str(path)
            assert result.reason and "\\n" not in str(result), str(result)
            reasons.add(result.reason.split("(")[0])
        else:
            assert result.shape == (6,) and result.dtype.name == "uint8"
            codes += 1
    grown = peak() - before
print(json.dumps({"codes": codes, "errors": errors, "files": files, "grown": grown}))
"""


def survive(count: int, seed: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, str(GOLDEN), str(count), str(seed)],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
        timeout=1200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counted: dict[str, float] = json.loads(done.stdout)
    return counted


def check(count: int, seed: int) -> None:
    result = survive(count, seed)
    assert result["codes"] + result["errors"] == count
    assert result["files"] == count // 2
    assert result["codes"] > count / 20, "some mutations are harmless, else nothing is tested"
    assert result["errors"] > count / 3
    # Large pictures are decoded one at a time, each in less than 1 GiB.
    assert result["grown"] < 1024


def test_a_thousand() -> None:
    check(1_000, seed=1)


@pytest.mark.slow
def test_ten_thousand() -> None:
    check(10_000, seed=2)
