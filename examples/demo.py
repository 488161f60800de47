"""The main job from end to end, with the commands that a user would type.

    python examples/demo.py --out demo                            # drawn pictures, no download
    python examples/demo.py --data flowers17.zip --out demo       # your own class folders

Trains a model, measures it, exports it to one ONNX file, measures that file, indexes the gallery,
searches it, and leaves pictures to look at.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from dsah_infer import Encoder, HammingIndex  # noqa: E402
from dsah_infer.preprocess import load_picture  # noqa: E402
from dsah_train.data import Dataset, Part, load_dataset  # noqa: E402
from dsah_train.plots.grids import Hit, RetrievalRow, retrieval_grid  # noqa: E402

EMBEDDED = "embedded:marks"
#: The drawn set is 128 pixels wide, and crops that lose the mark would teach nothing.
EMBEDDED_SETTINGS = (
    *("--image-size", "128", "--train-size", "128", "--min-area", "0.8"),
    *("--epochs", "16", "--time-budget", "7m"),
)
FOLDER_SETTINGS = ("--time-budget", "24m")


def say(text: str) -> None:
    """Print one step."""
    print(f"\n== {text}", flush=True)


def run(*command: str | Path) -> None:
    """Show a command as a user would type it, and run it."""
    words = [str(word) for word in command]
    print("$ " + shlex.join(["python" if w == sys.executable else w for w in words]), flush=True)
    result = subprocess.run(words, check=False)
    if result.returncode:
        sys.exit(result.returncode)


def write_pictures(part: Part, dataset: Dataset, folder: Path) -> list[Path]:
    """Write a part's encoded pictures as files, in its order, under their class's name."""
    paths = []
    for i, name in enumerate(part.names):
        path = folder / dataset.class_names[part.labels[i]] / f"{i:05d}-{Path(name).name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part.read(i))
        paths.append(path)
    return paths


def draw_grid(model: Path, dataset: Dataset, out: Path, hits: int = 8) -> None:
    """One query of up to six classes, its saliency, and its nearest gallery pictures."""
    classes = np.unique(dataset.query.labels)[:6]
    queries = [int(np.flatnonzero(dataset.query.labels == c)[0]) for c in classes]
    with Encoder(model) as encoder:
        index: HammingIndex = encoder.new_index()
        index.add(encoder.encode(dataset.gallery.read(i) for i in range(len(dataset.gallery))))
        rule, rows = encoder.contract.pixels, []
        for q, label in zip(queries, classes, strict=True):
            data = dataset.query.read(q)
            distances, ids = index.search(encoder.encode(data), hits)
            rows.append(
                RetrievalRow(
                    query=load_picture(data, rule),
                    label=dataset.class_names[label],
                    saliency=encoder.saliency(data) if encoder.contract.has_saliency else None,
                    hits=[
                        Hit(
                            image=load_picture(dataset.gallery.read(int(i)), rule),
                            distance=int(d),
                            relevant=bool(dataset.gallery.targets[i, label]),
                        )
                        for d, i in zip(distances[0], ids[0], strict=True)
                        if i >= 0
                    ],
                )
            )
    retrieval_grid(rows, out)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=EMBEDDED, help="folder or archive of class folders")
    parser.add_argument("--bits", default="48")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="a folder per data set")
    args, extra = parser.parse_known_args()
    began = time.monotonic()
    out: Path = args.out / ("marks" if args.data == EMBEDDED else Path(args.data).stem)
    python, dsah = sys.executable, Path(sys.executable).with_name("dsah")
    train, data = (python, "-m", "dsah_train"), ("--data", args.data)
    folder, ckpt, model = out / "run", out / "run" / "ckpt.pt", out / "model.onnx"
    settings = EMBEDDED_SETTINGS if args.data.startswith("embedded:") else FOLDER_SETTINGS

    say("train: attention and hashing learn together")
    run(*train, "fit", *data, "--bits", args.bits, *settings, *extra, "--out", folder)
    say("measure on queries that training never saw")
    run(*train, "evaluate", ckpt, *data, "--out", out / "evaluation")
    say("export: attention and hashing become one ONNX graph, proven bit by bit")
    run(python, ROOT / "export" / "to_onnx.py", ckpt, "-o", model)
    exported = ("--model", model, "--out", out / "evaluation-onnx", "--no-pictures")
    run(*train, "evaluate", ckpt, *data, *exported)
    say("index the gallery and search it; from here on nothing needs PyTorch")
    dataset = load_dataset(args.data)
    for name in ("gallery", "query"):  # of an earlier run on other pictures
        shutil.rmtree(out / name, ignore_errors=True)
    write_pictures(dataset.gallery, dataset, out / "gallery")
    queries = write_pictures(dataset.query, dataset, out / "query")
    run(dsah, "index", "--force", out / "gallery", "-m", model, "-o", out / "gallery.dsah")
    shown = queries[:: max(1, len(queries) // 5)][:5]
    run(dsah, "search", out / "gallery.dsah", *shown, "-k", "8", "--html", out / "result.html")
    draw_grid(model, dataset, out / "grid.png")

    say(f"done in {(time.monotonic() - began) / 60:.1f} minutes")
    for name, what in (("evaluation", "PyTorch"), ("evaluation-onnx", "the ONNX file")):
        record = json.loads((out / name / "evaluation.json").read_text())
        print(f"  MAP@all {record['evaluation']['map']:.4f} by {what}")
    for path, what in (
        (out / "grid.png", "queries, what the model looked at, and what it found"),
        (out / "result.html", "the same as a page, for the queries searched above"),
        (out / "run" / "curves.png", "loss and validation MAP"),
        (out / "evaluation" / "report.md", "all figures, curves and failures"),
    ):
        print(f"  {path}: {what}")


if __name__ == "__main__":
    main()
