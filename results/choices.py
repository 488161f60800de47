"""What else DSaH could do with its full budget, judged on validation pictures alone.

    python results/choices.py --data FOLDER            # every choice on every split
    python results/choices.py "320 pixels" --data FOLDER

All epochs, 48 bits where a choice says nothing else, 10 of the 60 training pictures of each flower
held out: 170 on each of two splits, so a point of MAP is less than two pictures. Queries are not
touched. One file per choice and split in results/choices; what has its file is skipped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from dsah_train.data import load_dataset  # noqa: E402
from dsah_train.pictures import decode_pictures  # noqa: E402
from results.provenance import METRIC, commit, machine  # noqa: E402
from results.trial import trained_map  # noqa: E402

#: A hash layer without batch normalisation, and its rate.
_PLAIN: dict[str, object] = {"code_norm": False, "lr": 1e-3}
#: Settings that differ from the defaults at 48 bits.
CHOICES: dict[str, dict[str, object]] = {
    "the defaults": {},
    "rate 1.5e-3": {"lr": 1.5e-3},
    "step schedule, seen at 256 pixels": {"schedule": "step", "image_size": 256},
    "seen at 256 pixels": {"image_size": 256},
    "24 epochs": {"epochs": 24},
    "plain hash layer": _PLAIN,
    "plain, 320 pixels": {**_PLAIN, "image_size": 320, "train_size": 320},
    "plain, step schedule, seen at 256 pixels": {
        **_PLAIN,
        "schedule": "step",
        "image_size": 256,
    },
    "plain, lighter pair terms": {
        **_PLAIN,
        "lambda_": 3.0,
        "quantization": 0.1,
        "centre_scale": 8.0,
    },
    "plain, heavier pair terms, lambda 100": {**_PLAIN, "lambda_": 100.0},
    "the defaults, 12 bits": {"bits": 12},
    "plain hash layer, 12 bits": {"bits": 12, **_PLAIN},
}
SPLITS = (1, 2)
FOLDER = ROOT / "results" / "choices"


def path_of(choice: str, split: int) -> Path:
    """The result file."""
    return FOLDER / f"{choice.replace(',', '').replace(' ', '-')}-split{split}.json"


def measure(choice: str, split: int, data: Path) -> None:
    """Train one choice on one split and keep what it scores."""
    began, made_by = time.monotonic(), commit()
    config = Config.with_preset(**{"bits": 48, "split_seed": split, **CHOICES[choice]})
    dataset = load_dataset(data / "data" / "flowers17.zip", split_seed=split)
    parts = decode_pictures(dataset.train, config, progress=False).carve(10, config.seed)
    value = trained_map(config, *parts)
    record = {
        "choice": choice,
        "command": f'python results/choices.py "{choice}" --data FOLDER',
        "settings": dataclasses.asdict(config),
        "metric": f"validation {METRIC}",
        "map": value,
        "seconds": round(time.monotonic() - began, 1),
        "commit": made_by,
        "machine": machine(),
    }
    FOLDER.mkdir(exist_ok=True)
    with replacing(path_of(choice, split)) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    print(f"{choice}, split {split}: {value:.4f}", flush=True)


def main() -> None:
    """Fill in what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("choices", nargs="*", metavar="CHOICE", help="default: all")
    parser.add_argument("--split", type=int, choices=SPLITS, help="only this one")
    parser.add_argument("--data", type=Path, required=True, help="holds data/flowers17.zip")
    args = parser.parse_args()
    if unknown := sorted(set(args.choices) - set(CHOICES)):
        parser.error(f"unknown choices {unknown}; known: {', '.join(CHOICES)}")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for choice in args.choices or CHOICES:
        for split in SPLITS if args.split is None else (args.split,):
            if not path_of(choice, split).exists():
                measure(choice, split, args.data)


if __name__ == "__main__":
    main()
