"""One training run: choose the number of epochs on a validation part, then refit on all of train.

A run folder holds ``config.json``, ``ckpt.pt`` (usable after every epoch), ``state.pt`` (to resume
from), ``metrics.jsonl``, ``curves.png`` and TensorBoard scalars.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from dsah_infer.atomic_file import replacing
from dsah_infer.cpu import available_cores
from dsah_infer.errors import DataError
from dsah_train.backbones import load_weights
from dsah_train.checkpoint import contract_of, save_checkpoint
from dsah_train.config import Config
from dsah_train.data import Dataset, carve_validation
from dsah_train.distributed import agree, is_main, join
from dsah_train.encode import encode
from dsah_train.interrupts import deferred_interrupt
from dsah_train.methods.method import Method
from dsah_train.methods.registry import build_method
from dsah_train.metrics import mean_average_precision
from dsah_train.pictures import Pictures, decode_pictures
from dsah_train.progress import Progress, read_state, save_state
from dsah_train.runlog import RunLog
from dsah_train.teacher import Teacher

__all__ = ["fit"]

_log = logging.getLogger(__name__)

#: Share of a time budget that choosing the epochs may use; the refit sees more pictures.
SELECT_SHARE = 0.45


class Run:
    """A run folder with its data, its log and the point that it has reached."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        out: Path,
        *,
        weights: str,
        device: str,
        time_budget: float | None,
        progress: bool,
    ) -> None:
        self.config, self.dataset, self.out = config, dataset, out
        self.device, self.time_budget, self.progress = device, time_budget, progress
        self.started = time.monotonic()
        self.weights = load_weights(config.backbone, weights)
        self.at = Progress(phase="select" if config.select else "refit")
        saved = read_state(out, config, self._data_key())
        if saved is not None:
            self.at = Progress(**saved["progress"])
            _log.info("resuming %s in phase %s after epoch %d", out, self.at.phase, self.at.epoch)
        self._saved = saved
        self._spent_before = self.at.spent
        self.log = RunLog(out, keep=self.at.records) if is_main() else None
        if is_main():
            with replacing(out / "config.json") as file:
                file.write((config.to_json() + "\n").encode())
        self.pictures = decode_pictures(dataset.train, config, progress)
        self.space = ""
        if config.teacher:
            teacher = Teacher.load(config.teacher)
            self.space = teacher.space
            guide = teacher.bits_of(self.pictures.part, progress=progress)
            self.pictures = dataclasses.replace(self.pictures, guide=guide)

    def train(self) -> Path:
        """Both phases; returns the checkpoint's path."""
        if self.at.phase == "done":
            _log.info("%s is finished already; a new run needs another --out", self.out)
            return self.out / "ckpt.pt"
        if self.at.phase == "select":
            try:
                rest, held_out = carve_validation(
                    self.pictures.part, self.config.val_per_class, self.config.seed
                )
            except DataError as error:
                _log.warning("%s; all %d epochs are used", error, self.config.epochs)
            else:
                rows = {name: i for i, name in enumerate(self.pictures.part.names)}
                self._phase(
                    self.pictures.subset(np.array([rows[n] for n in rest.names])),
                    self.pictures.subset(np.array([rows[n] for n in held_out.names])),
                )
            self.at.phase, self.at.epoch = "refit", 0
            self.at.epochs = self.at.best_epoch or self.config.epochs
            self._saved = None
            if self.at.best_epoch:
                self.at.metrics["val_map"] = self.at.best_map
                self.at.metrics["epochs"] = float(self.at.best_epoch)
        self._phase(self.pictures, None)
        self.at.phase = "done"
        with deferred_interrupt():
            self._save_state(None)
        if self.log is not None:
            self.log.close()
        return self.out / "ckpt.pt"

    def _phase(self, training: Pictures, held_out: Pictures | None) -> None:
        """Train from the start, or from the saved state, to the end of this phase."""
        config = self.config
        method = build_method(config, len(self.dataset.class_names), self.weights, self.device)
        if self._saved is not None and self._saved["method"] is not None:
            method.load_state_dict(self._saved["method"])
            torch.set_rng_state(self._saved["rng"])
        data = training.training_set(config)
        if self._saved is None:
            method.prepare(data)
        self._saved = None
        self.at.epochs = self.at.epochs or config.epochs
        name = "choose epochs" if held_out is not None else "train"
        # Every quarter of the epochs is a candidate: encoding the validation part is not free.
        every = max(1, config.epochs // 4)
        bar = tqdm(
            total=self.at.epochs,
            initial=self.at.epoch,
            desc=name,
            disable=not (self.progress and is_main()),
        )
        while self.at.epoch < self.at.epochs:
            began = time.monotonic()
            try:
                losses = method.epoch(data, self.at.epoch, self.at.epochs)
            except KeyboardInterrupt:
                if not (self.out / "ckpt.pt").exists():  # stopped in the very first epoch
                    self._save_checkpoint(method)
                raise
            self.at.epoch += 1
            score = None
            last = self.at.epoch == self.at.epochs
            if held_out is not None and (last or self.at.epoch % every == 0):
                score = agree(self._validate(method, training, held_out))
                if score > self.at.best_map:
                    self.at.best_map, self.at.best_epoch = score, self.at.epoch
            seconds = agree(time.monotonic() - began)
            self._record(losses, score, seconds)
            self._save(method)
            self._shorten(seconds)
            bar.total = self.at.epochs
            shown = {step: f"{terms['loss']:.4g}" for step, terms in losses.items()}
            bar.set_postfix(shown | ({"MAP": f"{score:.4f}"} if score is not None else {}))
            bar.update()
        bar.close()

    def _validate(self, method: Method, training: Pictures, held_out: Pictures) -> float:
        """MAP@all of the validation part searched in the rest of train."""
        contract = contract_of(self.config, self.dataset.class_names, method.model, {})
        query, gallery = (
            encode(method.model, p.seen, contract, autocast=method.autocast()).codes
            for p in (held_out, training)
        )
        return mean_average_precision(
            query,
            held_out.part.targets,
            gallery,
            training.part.targets,
            bits=contract.bits,
            symbol_bits=contract.symbol_bits,
        )

    def _shorten(self, seconds: float) -> None:
        """Under a time budget, end this phase at the last epoch that still fits."""
        if self.time_budget is None:
            return
        self.at.spent = agree(self._spent_before + time.monotonic() - self.started)
        share = SELECT_SHARE if self.at.phase == "select" else 1.0
        fits = int((share * self.time_budget - self.at.spent) / seconds)
        if self.at.epoch + max(fits, 0) < self.at.epochs:
            self.at.epochs = self.at.epoch + max(fits, 0)
            _log.info("time budget: %s ends after epoch %d", self.at.phase, self.at.epochs)

    def _record(self, losses: dict[str, Any], score: float | None, seconds: float) -> None:
        records = []
        for step, terms in losses.items():
            record = {"phase": self.at.phase, "epoch": self.at.epoch, "step": step, **terms}
            record["seconds"] = round(seconds, 3)
            records.append(record)
        if score is not None:
            records[-1]["val_map"] = score
        if self.log is not None:
            self.log.write(records)
        self.at.records += len(records)

    def _save(self, method: Method) -> None:
        """Write the usable checkpoint, then the state to resume from."""
        with deferred_interrupt():
            self._save_checkpoint(method)
            self._save_state(method.state_dict())

    def _save_checkpoint(self, method: Method) -> None:
        if not is_main():
            return
        metrics = dict(self.at.metrics)
        if self.at.phase == "select":
            metrics["val_map"] = self.at.best_map
        save_checkpoint(
            self.out / "ckpt.pt",
            model=method.model,
            config=self.config,
            class_names=self.dataset.class_names,
            metrics=metrics,
            space=self.space,
        )

    def _data_key(self) -> str:
        """Names the classes and the training pictures, so that a run resumes on its own data."""
        names = "\n".join((*self.dataset.class_names, *self.dataset.train.names))
        return hashlib.sha256(names.encode()).hexdigest()

    def _save_state(self, method: dict[str, Any] | None) -> None:
        self.at.spent = self._spent_before + time.monotonic() - self.started
        if is_main():
            save_state(self.out, self.config, self._data_key(), self.at, method)


def fit(
    config: Config,
    dataset: Dataset,
    out: Path,
    *,
    weights: str = "auto",
    device: str = "auto",
    time_budget: float | None = None,
    progress: bool = True,
) -> Path:
    """Train a model; a run folder that was interrupted is resumed.

    Args:
        config: Settings.
        dataset: Data; its queries are never looked at.
        out: Run folder.
        weights: Where ImageNet weights come from, see `find_weights`.
        device: ``cpu``, ``cuda`` or ``auto``.
        time_budget: Seconds for the whole run; both phases are shortened to fit.
        progress: Show bars.

    Returns:
        Path of ``ckpt.pt``.

    Raises:
        ConfigError: The folder holds a run with other settings.
        DataError: Nothing to train on.
    """
    device = join(device)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    out.mkdir(parents=True, exist_ok=True)
    config = config.replace(multi_label=dataset.multi_label)
    if config.teacher:
        config = config.replace(bits=Teacher.load(config.teacher).bits)
    run = Run(
        config,
        dataset,
        out,
        weights=weights,
        device=device,
        time_budget=time_budget,
        progress=progress,
    )
    return run.train()
