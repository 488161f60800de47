"""One method's heads on frozen features: lengths and seeds, on features computed once.

Seed s draws the split and the training alike. A head trains for `EPOCHS` epochs by its method's own
loop; its learning rate is the best on a validation part of the training pictures of split 0 (10 per
class) at `TUNED_BITS`, so that no method suffers from another's rate: `RATES` are tried, then more
of the `LADDER` until the best has a worse one on either side.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dsah_infer.atomic_file import replacing
from dsah_infer.contract import PixelRule
from dsah_train.backbones import load_weights
from dsah_train.checkpoint import contract_of
from dsah_train.config import Config
from dsah_train.data import Part, carve_validation, decode_part, load_dataset
from dsah_train.features import pooled_features
from dsah_train.float_features import float_map
from dsah_train.frozen import head_codes, train_head
from dsah_train.metrics import evaluate_codes
from dsah_train.models import build_plain
from results.cells import Cell, Heads
from results.ladder import best_rate, next_rate
from results.provenance import METRIC, commit, machine

__all__ = ["EPOCHS", "RATES", "TUNED_BITS", "measure"]

EPOCHS = 100
LADDER = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
RATES = LADDER[2:6]
TUNED_BITS = 24
BACKBONE = "squeezenet1_1"

_Features = dict[str, npt.NDArray[np.float32]]


def measure(cell: Cell, data: str, work: Path, heads: Heads) -> dict[str, Any]:
    """Train and score the heads of one method; returns the record that is kept."""
    torch.set_num_threads(1)
    began, made_by = time.monotonic(), commit()
    name = f"{Path(data).name}-{BACKBONE}-{heads.size}.npz"
    features = _features(data, work / "frozen" / name, heads.size)
    record: dict[str, Any] = {
        "grid": cell.grid,
        "cell": cell.name,
        "note": cell.note,
        "commands": [f"python results/run.py {cell.grid} --only {cell.name} --data FOLDER"],
        "data": Path(data).name,
        "protocol": load_dataset(data).protocol,
        "backbone": f"{BACKBONE}, ImageNet weights, {heads.size} px, frozen, mean of the last map",
        "metric": METRIC,
        "seeds": "split and training alike",
    }
    if cell.name == "float":
        record["runs"] = [
            {"seed": seed, "map": _float_map(data, seed, features)} for seed in heads.seeds
        ]
    else:
        tried = _try_rates(cell, data, features)
        rate = best_rate(tried) if tried else Config.lr
        record |= {
            "settings": dataclasses.asdict(_config(cell, heads.bits[-1], rate, 0)),
            "validation_map": {str(r): value for r, value in tried.items()},
            "runs": [],
        }
        for bits in heads.bits:
            for seed in heads.seeds:
                dataset = load_dataset(data, split_seed=seed)
                config = _config(cell, bits, rate, seed)
                scores = _scores(config, features, dataset.train, dataset.query)
                record["runs"].append({"bits": bits, "seed": seed, **scores})
            values = [run["map_expected"] for run in record["runs"] if run["bits"] == bits]
            print(f"{cell.name} {bits} bits: {np.mean(values):.4f}, rate {rate}", flush=True)
    return record | {
        "seconds": round(time.monotonic() - began, 1),
        "commit": made_by,
        "machine": machine(),
    }


def _config(cell: Cell, bits: int, rate: float, seed: int) -> Config:
    settings = {"bits": bits, "epochs": EPOCHS, "lr": rate, "seed": seed, "split_seed": seed}
    settings["batch_size"] = cell.settings.get("batch_size", 64)
    if cell.settings["method"] in ("itq", "lsh"):
        settings["epochs"] = 1
    # Trained in the precision in which the codes are made.
    settings = {**cell.settings, **settings, "train_trunk": False, "precision": "fp32"}
    return Config.with_preset(**settings)


def _try_rates(cell: Cell, data: str, features: _Features) -> dict[float, float]:
    """MAP on the validation part by learning rate; of none where nothing is trained."""
    if cell.settings["method"] in ("itq", "lsh"):
        return {}
    rest, held_out = carve_validation(load_dataset(data, split_seed=0).train)
    tried: dict[float, float] = {}
    while (rate := next_rate(tried, LADDER, RATES)) is not None:
        config = _config(cell, TUNED_BITS, rate, 0)
        tried[rate] = _scores(config, features, rest, held_out)["map_expected"]
    return tried


def _scores(config: Config, features: _Features, train: Part, query: Part) -> dict[str, float]:
    """MAP of the codes, and of the cosine between the activations that they are cut from."""
    model = train_head(config, _rows(features, train), train.targets)
    contract = contract_of(config, (), model, {})
    asked, kept = (head_codes(config, model, _rows(features, part)) for part in (query, train))
    scores = evaluate_codes(
        asked.codes,
        query.targets,
        kept.codes,
        train.targets,
        bits=contract.bits,
        symbol_bits=contract.symbol_bits,
    )
    activations = (asked.activations, kept.activations)
    return {
        "map": scores.map,
        "map_expected": scores.map_expected,
        "map_float": float_map(activations[0], query.targets, activations[1], train.targets),
    }


def _float_map(data: str, seed: int, features: _Features) -> float:
    dataset = load_dataset(data, split_seed=seed)
    query, gallery = dataset.query, dataset.gallery
    return float_map(
        _rows(features, query).numpy(),
        query.targets,
        _rows(features, gallery).numpy(),
        gallery.targets,
    )


def _rows(features: _Features, part: Part) -> torch.Tensor:
    return torch.from_numpy(np.stack([features[name] for name in part.names]))


def _features(data: str, cache: Path, size: int) -> _Features:
    """Features of all pictures by name; the splits only deal them out differently."""
    dataset = load_dataset(data)
    parts = (dataset.query, dataset.gallery)
    names = [name for part in parts for name in part.names]
    if cache.exists():
        with np.load(cache) as file:
            kept = dict(zip(file["names"].tolist(), file["features"], strict=True))
        if set(names) <= set(kept):
            return kept
    model = build_plain(Config(backbone=BACKBONE), load_weights(BACKBONE, "auto")).eval()
    rule = PixelRule(size=size, crop=1.0)
    values = np.concatenate(
        [
            pooled_features(model, torch.from_numpy(decode_part(p, rule, progress=False))).numpy()
            for p in parts
        ]
    )
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cache) as out:
        np.savez(out, names=np.array(names), features=values)
    return dict(zip(names, values, strict=True))
