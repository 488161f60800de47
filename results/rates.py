"""Choose each method's learning rate, so that no rival suffers from DSaH's.

    python results/rates.py --data FOLDER

Writes results/rates/lr.json, method by method: MAP on the validation part (10 pictures per
class) of the training pictures of Flower-17, split seed 0, 48 bits, 96 pixels, 5 epochs. Four rates
are tried, then further ones until the best has a worse one on either side. DSaH's preset best
keeps its own (1e-3); itq and lsh train nothing. With 1e-3, DPSH ends far below what its hash
layer, fitted before, gives on the untouched trunk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_train.backbones import load_weights  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from dsah_train.data import load_dataset  # noqa: E402
from dsah_train.methods.registry import build_method  # noqa: E402
from dsah_train.pictures import Pictures, decode_pictures  # noqa: E402
from dsah_train.validation import validation_map  # noqa: E402
from results.grids.budget import SMALL  # noqa: E402
from results.grids.rivals import METHODS, RATES_FILE  # noqa: E402
from results.provenance import METRIC, commit, machine  # noqa: E402

LADDER = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)
FIRST = LADDER[2:6]
BUDGET = {**SMALL, "bits": 48, "image_size": 96, "train_size": 96, "epochs": 5}
#: The paper's claim first.
LABELS = sorted(
    set(METHODS) - {"dsah", "itq", "lsh"}, key=lambda m: (m != "dpsh", "paper" not in m)
)


def next_rate(tried: Mapping[str, float]) -> float | None:
    """The rate to try next; None where the best one tried has a worse neighbour on either side."""
    best = LADDER.index(float(max(tried, key=lambda rate: tried[rate]))) if tried else 0
    wanted = (*FIRST, *LADDER[max(best - 1, 0) : best + 2])
    return next((rate for rate in wanted if str(rate) not in tried), None)


def trained_map(config: Config, rest: Pictures, held_out: Pictures) -> float:
    """Train on one part of the training pictures, search it with the other."""
    classes = rest.part.targets.shape[1]
    method = build_method(config, classes, load_weights(config.backbone, "auto"))
    data = rest.training_set(config)
    method.prepare(data)
    for epoch in range(config.epochs):
        method.epoch(data, epoch, config.epochs)
    return validation_map(method, rest, held_out)


def main() -> None:
    """Fill in what the file lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="holds data/flowers17.zip")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    dataset = load_dataset(args.data / "data" / "flowers17.zip")
    pictures = decode_pictures(dataset.train, Config(**BUDGET), progress=False)
    rest, held_out = pictures.carve(per_class=10)
    tried = json.loads(RATES_FILE.read_text())["validation_map"] if RATES_FILE.exists() else {}
    for label in LABELS:
        of_label = tried.setdefault(label, {})
        while (rate := next_rate(of_label)) is not None:
            config = Config.with_preset(**METHODS[label], **BUDGET, lr=rate)
            of_label[str(rate)] = trained_map(config, rest, held_out)
            print(f"{label} {rate}: {of_label[str(rate)]:.4f}", flush=True)
            record = {
                "command": "python results/rates.py --data FOLDER",
                "budget": BUDGET,
                "metric": f"validation {METRIC}",
                "validation_map": tried,
                "commit": commit(),
                "machine": machine(),
            }
            RATES_FILE.parent.mkdir(exist_ok=True)
            with replacing(RATES_FILE) as file:
                file.write((json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
