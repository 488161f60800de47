"""One training run: choose the epochs on a validation part, then refit on all of train."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dsah_infer.cpu import available_cores
from dsah_infer.errors import CheckpointError, DataError, TrainingError
from dsah_train.backbones import load_weights
from dsah_train.config import Config
from dsah_train.data import Dataset
from dsah_train.distributed import agree, is_main, join, mains
from dsah_train.interrupts import deferred_interrupt
from dsah_train.methods.method import Losses, Method
from dsah_train.methods.registry import build_method
from dsah_train.pictures import Pictures, decode_pictures
from dsah_train.progress import Progress, restore_chance
from dsah_train.run_folder import RunFolder
from dsah_train.run_key import run_key
from dsah_train.teacher import Teacher
from dsah_train.trained_on import check_unseen_classes
from dsah_train.validation import validation_map

__all__ = ["fit"]

_log = logging.getLogger(__name__)

#: Share of a time budget that choosing the epochs may use; the refit sees more pictures.
SELECT_SHARE = 0.45


class Run:
    """A run with its folder, its pictures and the point that it has reached."""

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        out: Path,
        *,
        teacher: Teacher | None,
        weights: str,
        device: str,
        time_budget: float | None,
        progress: bool,
    ) -> None:
        self.config, self.dataset = config, dataset
        self.device, self.time_budget, self.progress = device, time_budget, progress
        self.started = time.monotonic()
        self.weights = load_weights(config.backbone, weights)
        self.at = Progress(phase="select" if config.select else "refit")
        key = run_key(dataset, self.weights, teacher)
        self.folder = RunFolder(out, config, dataset, key, device, teacher)
        saved = self.folder.saved_state()
        if saved is not None:
            self.at = Progress(**saved["progress"])
            _log.info("resuming %s in phase %s after epoch %d", out, self.at.phase, self.at.epoch)
        self._saved = saved
        self._spent_before = self.at.spent
        self.teacher = teacher

    def train(self) -> Path:
        """Both phases; returns the checkpoint's path."""
        if self.at.phase == "done":
            if not mains(self.folder.checkpoint.exists):  # others need not see the folder
                raise CheckpointError(
                    f"{self.folder.path} is finished, but its ckpt.pt is gone; train into another "
                    "--out, or remove the folder"
                )
            _log.info("%s is finished already; a new run needs another --out", self.folder.path)
            return self.folder.checkpoint
        self.folder.open(self.at.records)
        pictures = self._pictures()
        if self.at.phase == "select":
            try:
                parts = pictures.carve(self.config.val_per_class, self.config.seed)
            except DataError as error:
                _log.warning("%s; all %d epochs are used", error, self.config.epochs)
            else:
                self._phase(*parts)
            self.at.phase, self.at.epoch = "refit", 0
            self.at.epochs = self.at.best_epoch or self.config.epochs
            self._saved = None
            if self.at.best_epoch:
                # Of the network that chose the epochs: that of the refit has seen these pictures.
                self.at.metrics["selection_map"] = self.at.best_map
                self.at.metrics["epochs"] = float(self.at.best_epoch)
                _log.info(
                    "%d epochs: validation MAP %.4f is the best; now on all training pictures",
                    self.at.best_epoch,
                    self.at.best_map,
                )
        self._phase(pictures, None)
        self.at.phase = "done"
        with deferred_interrupt():
            self._save_state(None)
        self.folder.close()
        return self.folder.checkpoint

    def _pictures(self) -> Pictures:
        """The decoded training pictures, with the teacher's codes of them if there is one."""
        pictures = decode_pictures(self.dataset.train, self.config, self.progress)
        if self.teacher is not None:
            guide = self.teacher.symbols_of(pictures.part, progress=self.progress)
            pictures = dataclasses.replace(pictures, guide=guide)
        return pictures

    def _phase(self, training: Pictures, held_out: Pictures | None) -> None:
        """Train from the start, or from the saved state, to the end of this phase."""
        config = self.config
        method = build_method(config, len(self.dataset.class_names), self.weights, self.device)
        if self._saved is not None and self._saved["method"] is not None:
            method.load_state_dict(self._saved["method"])
            restore_chance(self._saved, self.device)
        data = training.training_set(config).to(method.device)
        if self._saved is None:
            method.prepare(data)
        self._saved = None
        self.at.epochs = self.at.epochs or config.epochs
        name = "choose epochs" if held_out is not None else "train"
        bar = tqdm(
            total=self.at.epochs,
            initial=self.at.epoch,
            desc=name,
            disable=not (self.progress and is_main()),
        )
        while self.at.epoch < self.at.epochs:
            began = time.monotonic()
            writes_codes = method.trains_codes(self.at.epoch, self.at.epochs)
            try:
                losses = method.epoch(data, self.at.epoch, self.at.epochs)
            except KeyboardInterrupt:
                # Stopped in the very first epoch: what there is of it.
                if writes_codes and not self.folder.checkpoint.exists():
                    self.folder.save_checkpoint(method.model, self.at)
                raise
            self._check_losses(losses)
            self.at.epoch += 1
            score = None
            if held_out is not None and writes_codes and self._is_candidate():
                score = self._validate(method, training, held_out)
            seconds = agree(time.monotonic() - began)
            self.folder.record(self.at, losses, score, seconds)
            self._save(method, score, usable=writes_codes)
            self._shorten(seconds, least=self.at.epoch + (not writes_codes))
            bar.total = self.at.epochs
            shown = {step: f"{terms['loss']:.4g}" for step, terms in losses.items()}
            bar.set_postfix(shown | ({"MAP": f"{score:.4f}"} if score is not None else {}))
            bar.update()
        bar.close()

    def _check_losses(self, losses: Losses) -> None:
        """Raise `TrainingError` where a loss is not a number any more: its weights are lost."""
        for step, terms in losses.items():
            for name, value in terms.items():
                if not math.isfinite(value):
                    raise TrainingError(
                        f"epoch {self.at.epoch + 1} of phase {self.at.phase}: {step} {name} is "
                        f"{value}. The training diverged; another run with a lower lr (here "
                        f"{self.config.lr}) or clip (here {self.config.clip}) may hold. "
                        f"{self.folder.path} keeps the epochs before"
                    )

    def _is_candidate(self) -> bool:
        """Whether training may end with this epoch; encoding the validation part is not free."""
        every = 1 if self.config.patience else max(1, self.config.epochs // 4)
        return self.at.epoch == self.at.epochs or self.at.epoch % every == 0

    def _validate(self, method: Method, training: Pictures, held_out: Pictures) -> float:
        """MAP of the validation part; the best is kept, and patience may end the phase here."""
        score = agree(validation_map(method, training, held_out))
        self.at.stale += 1
        if score > self.at.best_map:
            self.at.best_map, self.at.best_epoch, self.at.stale = score, self.at.epoch, 0
        if self.config.patience and self.at.stale >= self.config.patience:
            _log.info("no better validation MAP for %d epochs: chosen", self.at.stale)
            self.at.epochs = self.at.epoch
        return score

    def _shorten(self, seconds: float, least: int) -> None:
        """Under a time budget, end this phase at the last epoch that fits, ``least`` or later."""
        if self.time_budget is None:
            return
        self.at.spent = agree(self._spent_before + time.monotonic() - self.started)
        share = SELECT_SHARE if self.at.phase == "select" else 1.0
        fits = int((share * self.time_budget - self.at.spent) / seconds)
        ends = max(self.at.epoch + fits, least)
        if ends < self.at.epochs:
            self.at.epochs = ends
            _log.info("time budget: %s ends after epoch %d", self.at.phase, self.at.epochs)

    def _save(self, method: Method, score: float | None, *, usable: bool) -> None:
        """Write the checkpoint, where its codes have been trained yet, then the state."""
        with deferred_interrupt():
            if usable:
                self.folder.save_checkpoint(method.model, self.at, score)
            self._save_state(method.state_dict())

    def _save_state(self, method: dict[str, Any] | None) -> None:
        self.at.spent = self._spent_before + time.monotonic() - self.started
        self.folder.save_state(self.at, method)


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
        CheckpointError: The folder's run is finished and its checkpoint gone, or its state is
            damaged.
        ConfigError: The folder holds a run with other settings, or of other data, labels, start
            weights or weights of the teacher.
        DataError: Nothing to train on.
        TrainingError: The training diverged.
        UsageError: The teacher was trained on classes that are held out here.
    """
    device = join(device)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    config = config.replace(multi_label=dataset.multi_label)
    teacher = Teacher.load(config.teacher) if config.teacher else None
    if teacher is not None:
        config = teacher.configure(config)
        check_unseen_classes(dataset, teacher)
        if teacher.trained_on is None:
            _log.warning(
                "%s is of an older version and does not keep what it was trained on: an evaluation "
                "of its student cannot leave these pictures out",
                teacher.path,
            )
    run = Run(
        config,
        dataset,
        out,
        teacher=teacher,
        weights=weights,
        device=device,
        time_budget=time_budget,
        progress=progress,
    )
    return run.train()
