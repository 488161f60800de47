"""Choose each method's learning rate, so that no rival suffers from DSaH's.

    python results/rates.py --data FOLDER                      # writes results/rates/lr.json
    python results/rates.py dpsh --set cifar10 --data FOLDER   # writes results/rates/cifar10.json

Method by method: MAP on the validation part (10 pictures per class of Flower-17, 50 of CIFAR-10) of
the training pictures, split seed 0, 96 pixels, 5 epochs. At 48 bits four rates are tried, then
further ones until the best has a worse one on either side or the ladder ends. itq and lsh train
nothing. Labels that end in -norm are rivals with DSaH's hash layer. DSaH's preset best keeps its
own rate at every budget: `dsah` tries what is `AROUND` it, and `BATCHES`, for the defaults.

A method that does best at 1e-4 or less hardly moves its trunk. For these `STARTS` are tried as
well, at 12 and at 48 bits: a trunk that learns more slowly than the hash layer, or not at all, and
no warm start; for the published losses also the paper's ratio of pair terms (`RATIOS`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from dsah_infer.atomic_file import replacing  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from dsah_train.data import load_dataset  # noqa: E402
from dsah_train.pictures import decode_pictures  # noqa: E402
from results.grids.budget import SMALL  # noqa: E402
from results.grids.rivals import METHODS, NORMALISED, RATES  # noqa: E402
from results.ladder import best_rate, next_rate  # noqa: E402
from results.provenance import METRIC, commit, machine  # noqa: E402
from results.trial import trained_map  # noqa: E402

LADDER = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
FIRST = LADDER[2:6]
BUDGET = {**SMALL, "bits": 48, "image_size": 96, "train_size": 96, "epochs": 5}
#: Rate, the trunk's fraction of it, and views that the hash layer is fitted to first.
STARTS: tuple[dict[str, float], ...] = (
    {"lr": 1e-4},
    {"lr": 1e-3, "trunk_lr": 0.03},
    {"lr": 1e-3, "trunk_lr": 0.003},
    {"lr": 1e-3, "trunk_lr": 0.03, "warm_start": 0},
    {"lr": 1e-3, "trunk_lr": 0.0},
)
#: The paper's ratio of pair terms to J_reg, by its weights and by its batch.
RATIOS: tuple[dict[str, float], ...] = (
    {"lr": 1e-4, "lambda_": 15.0, "alpha": 20.0},
    {"lr": 1e-4, "batch_size": 32},
)
#: Pictures per batch for DSaH, at both lengths.
BATCHES = (16, 32, 64)
#: What is around DSaH's hash layer and its rate.
AROUND: tuple[dict[str, float], ...] = (
    {"code_norm": True, "lr": 1e-3},
    {"code_norm": True, "lr": 3e-3},
    {"code_norm": True, "lr": 1e-2},
    {"code_norm": False, "lr": 3e-4},
    {"code_norm": False, "lr": 1e-3},
    {"code_norm": False, "lr": 3e-3},
)
SLOW = 1e-4
#: Validation pictures per class.
HELD_OUT = {"flowers17": 10, "cifar10": 50}
KNOWN = METHODS | NORMALISED
#: The paper's claim first.
LABELS = sorted(
    set(KNOWN) - {"dsah", "itq", "lsh"}, key=lambda m: (m != "dpsh", "paper" not in m, m)
)


class Trials:
    """The file, and the pictures that it is filled from."""

    def __init__(self, name: str, data: Path) -> None:
        dataset = load_dataset(data / "data" / f"{name}.zip")
        pictures = decode_pictures(dataset.train, Config(**BUDGET), progress=False)
        self.rest, self.held_out = pictures.carve(per_class=HELD_OUT[name])
        self.name, self.file = name, RATES[name]
        kept = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.rates: dict[str, dict[str, float]] = kept.get("validation_map", {})
        self.starts: dict[str, dict[str, list[dict[str, float]]]] = kept.get("starts", {})
        self.around: dict[str, list[dict[str, float]]] = kept.get("dsah_around", {})
        self.batches: dict[str, dict[str, float]] = kept.get("dsah_batches", {})
        #: Of the latest trial of each method; those before this was kept are of the file's history.
        self.commits: dict[str, str] = kept.get("commits", {})

    def ladder(self, label: str) -> float:
        """Try rates at 48 bits until the best is known; returns it."""
        tried = {float(rate): value for rate, value in self.rates.get(label, {}).items()}
        while (rate := next_rate(tried, LADDER, FIRST)) is not None:
            tried[rate] = self._map(label, {"lr": rate})
            self.rates[label] = {str(rate): value for rate, value in tried.items()}
            self._keep()
        return best_rate(tried)

    def others(self, label: str) -> None:
        """Try `STARTS` at both lengths, and the `RATIOS` for the published losses."""
        wanted = STARTS + (RATIOS if label == "dsah-paper" else ())
        for bits in (12, 48):
            tried = self.starts.setdefault(label, {}).setdefault(str(bits), [])
            for start in wanted[len(tried) :]:
                tried.append({**start, "map": self._map(label, {**start, "bits": bits})})
                self._keep()

    def ours(self) -> None:
        """Try what is `AROUND` DSaH's hash layer and rate, and `BATCHES`."""
        for bits in (12, 48):
            done = self.around.setdefault(str(bits), [])
            for start in AROUND[len(done) :]:
                done.append({**start, "map": self._map("dsah", {**start, "bits": bits})})
                self._keep()
        for bits in (12, 48):
            tried = self.batches.setdefault(str(bits), {})
            for size in BATCHES:
                if str(size) not in tried:
                    tried[str(size)] = self._map("dsah", {"batch_size": size, "bits": bits})
                    self._keep()

    def _map(self, label: str, changes: dict[str, float]) -> float:
        config = Config.with_preset(**{**KNOWN[label], **BUDGET, **changes})
        value = trained_map(config, self.rest, self.held_out)
        print(f"{label} {changes}: {value:.4f}", flush=True)
        self.commits[label] = commit()
        return value

    def _keep(self) -> None:
        record = {
            "command": f"python results/rates.py --set {self.name} --data FOLDER",
            "budget": BUDGET,
            "metric": f"validation {METRIC}",
            "validation_map": self.rates,
            "starts": self.starts,
            "dsah_around": self.around,
            "dsah_batches": self.batches,
            "dsah_defaults": dataclasses.asdict(Config.with_preset(**BUDGET)),
            "commits": self.commits,
            "machine": machine(),
        }
        self.file.parent.mkdir(exist_ok=True)
        with replacing(self.file) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())


def main() -> None:
    """Fill in what the file lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", nargs="*", metavar="METHOD", help="default: all but dsah")
    parser.add_argument("--set", choices=RATES, default="flowers17", help="pictures to choose on")
    parser.add_argument("--data", type=Path, required=True, help="holds data/SET.zip")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    trials = Trials(args.set, args.data)
    labels = args.labels or LABELS
    if unknown := sorted(set(labels) - {"dsah", *LABELS}):
        parser.error(f"unknown methods {unknown}; known: dsah, {', '.join(LABELS)}")
    slow = [label for label in labels if label != "dsah" and trials.ladder(label) <= SLOW]
    for label in slow:
        trials.others(label)
    if "dsah" in labels:
        trials.ours()


if __name__ == "__main__":
    main()
