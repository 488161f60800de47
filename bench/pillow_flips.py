"""How many bits flip when the same files are decoded by two versions of Pillow?

    python bench/pillow_flips.py model.onnx PICTURES... --versions 11.3.0 13.0.0

Each version is installed into an environment of its own and decodes the pictures by the same
pixel rule; the same model then encodes both. Prints one table and, with -o, writes it as JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_infer.contract import unpack_bits  # noqa: E402
from dsah_infer.cpu import available_cores  # noqa: E402
from dsah_infer.onnx_file import read_model  # noqa: E402
from dsah_infer.session import OnnxSession  # noqa: E402

#: Runs in the environment of one Pillow: decodes, and says what decoded.
DECODE = """
import json, sys
import numpy as np
from PIL import __version__, features
from dsah_infer.contract import CodeContract
from dsah_infer.errors import PictureError
from dsah_infer.preprocess import load_picture
rule = CodeContract.from_json(sys.stdin.readline()).pixels
squares, bad = [], []
for position, path in enumerate(json.loads(sys.stdin.readline())):
    try:
        squares.append(load_picture(path, rule))
    except PictureError as error:
        bad.append(position)
        squares.append(np.zeros((rule.size, rule.size, 3), np.uint8))
np.save(sys.argv[1], np.stack(squares))
libraries = {n: str(features.version(n)) for n in ("libjpeg_turbo", "zlib", "webp", "avif")}
print(json.dumps({"pillow": __version__, "libraries": libraries, "bad": bad}))
"""
BATCH = 32


def decode(version: str, contract: str, paths: list[Path], folder: Path) -> dict[str, object]:
    """Squares of all pictures by Pillow ``version``, and what that Pillow is made of."""
    place = folder / version
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", python]
    wanted = [f"Pillow=={version}", f"numpy=={np.__version__}"]
    subprocess.run([*pip, "install", "--only-binary", ":all:", *wanted], check=True)
    squares = folder / f"{version}.npy"
    done = subprocess.run(
        [python, "-c", DECODE, squares],
        input=f"{contract}\n{json.dumps([str(p.resolve()) for p in paths])}\n",
        env={"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    facts: dict[str, object] = json.loads(done.stdout)
    return {**facts, "squares": np.load(squares)}


def files(given: Path) -> list[Path]:
    """A file itself; of a folder all files, sorted. What is no picture counts as unreadable."""
    return sorted(p for p in given.rglob("*") if p.is_file()) if given.is_dir() else [given]


def codes(session: OnnxSession, squares: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Packed codes of uint8 squares (n, S, S, 3)."""
    parts = [squares[at : at + BATCH] for at in range(0, len(squares), BATCH)]
    return np.concatenate([session.run(["codes"], part)[0] for part in parts])


def main() -> None:
    """Compare the first version with each of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--versions", nargs="+", required=True, metavar="V", help="two or more")
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    if len(args.versions) < 2:
        parser.error("--versions needs two or more")
    model = read_model(args.model)
    paths = [path for given in args.pictures for path in files(given)]
    bits = model.contract.bits
    with tempfile.TemporaryDirectory() as folder:
        decoded = [
            decode(version, model.contract.to_json(), paths, Path(folder))
            for version in args.versions
        ]
    session = OnnxSession(model, "cpu", available_cores())
    first = decoded[0]
    bad = set().union(*(d["bad"] for d in decoded))
    keep = [i for i in range(len(paths)) if i not in bad]
    base = codes(session, first["squares"][keep])
    rows = []
    for other in decoded[1:]:
        difference = np.abs(first["squares"][keep].astype(int) - other["squares"][keep])
        flips = unpack_bits(base ^ codes(session, other["squares"][keep]), bits).sum(axis=1)
        rows.append({
            "from": first["pillow"], "to": other["pillow"],
            "from_libraries": first["libraries"], "to_libraries": other["libraries"],
            "pictures": len(keep), "unreadable": len(bad), "bits": bits,
            "squares_that_differ": int((difference.max(axis=(1, 2, 3)) > 0).sum()),
            "largest_byte_difference": int(difference.max()),
            "mean_byte_difference": float(difference.mean()),
            "codes_that_differ": int((flips > 0).sum()),
            "bits_flipped": int(flips.sum()),
            "share_of_bits_flipped": float(flips.mean() / bits),
        })  # fmt: skip
        print(
            f"Pillow {first['pillow']} -> {other['pillow']}: {rows[-1]['squares_that_differ']} of "
            f"{len(keep)} squares differ (at most by {rows[-1]['largest_byte_difference']}), "
            f"{rows[-1]['codes_that_differ']} codes differ, {rows[-1]['bits_flipped']} of "
            f"{len(keep) * bits} bits flip ({100 * rows[-1]['share_of_bits_flipped']:.4f} %)"
        )
    if args.out:
        record = {
            "command": " ".join(["python", "bench/pillow_flips.py", *sys.argv[1:]]),
            "machine": platform.platform(),
            "model": model.contract.fingerprint,
            "rows": rows,
        }
        with replacing(args.out) as stream:
            stream.write(json.dumps(record, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
