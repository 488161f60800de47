"""What a run leaves behind; of several processes only the main one writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsah_infer.atomic_file import replacing
from dsah_train.checkpoint import save_checkpoint
from dsah_train.config import Config
from dsah_train.data import Dataset
from dsah_train.distributed import is_main, mains
from dsah_train.hasher import Hasher
from dsah_train.methods.method import Losses
from dsah_train.progress import Progress, read_state, save_state
from dsah_train.runlog import RunLog
from dsah_train.teacher import Teacher

__all__ = ["RunFolder"]


class RunFolder:
    """``config.json``, ``ckpt.pt``, ``state.pt``, ``metrics.jsonl`` and the curves of one run.

    Args:
        path: The folder; made.
        config: Settings of the run.
        dataset: Data; its classes and the names of its training pictures are kept.
        key: What it starts from, see `run_key`; a run resumes on that alone.
        device: Where it trains.
        teacher: Whose code space the checkpoint inherits, and what that was trained on.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        dataset: Dataset,
        key: Mapping[str, str],
        device: str,
        teacher: Teacher | None = None,
    ) -> None:
        self.path, self.config, self.device = path, config, device
        self.class_names, self.train_names = dataset.class_names, dataset.train.names
        self.key, self.teacher = key, teacher
        self.log: RunLog | None = None
        path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Path of ``ckpt.pt``."""
        return self.path / "ckpt.pt"

    def saved_state(self) -> dict[str, Any] | None:
        """What `save_state` wrote last, in every process; None where nothing is to be resumed."""
        return mains(lambda: read_state(self.path, self.config, self.key))

    def open(self, records: int) -> None:
        """Write ``config.json`` and open the log behind this many records."""
        if is_main():
            self.log = RunLog(self.path, keep=records)
            with replacing(self.path / "config.json") as file:
                file.write((self.config.to_json() + "\n").encode())

    def close(self) -> None:
        """Flush the log."""
        if self.log is not None:
            self.log.close()

    def record(self, at: Progress, losses: Losses, score: float | None, seconds: float) -> None:
        """Log an epoch: one record for each of its steps, the last one with the validation MAP."""
        records: list[dict[str, Any]] = [
            {
                "phase": at.phase,
                "epoch": at.epoch,
                "step": step,
                **terms,
                "seconds": round(seconds, 3),
            }
            for step, terms in losses.items()
        ]
        if score is not None:
            records[-1]["val_map"] = score
        if self.log is not None:
            self.log.write(records)
        at.records += len(records)

    def save_checkpoint(self, model: Hasher, at: Progress, score: float | None = None) -> None:
        """Write ``ckpt.pt``, usable as it is; ``score`` is this very model's validation MAP."""
        if not is_main():
            return
        metrics = dict(at.metrics)
        if score is not None:
            metrics["val_map"] = score
        save_checkpoint(
            self.checkpoint,
            model=model,
            config=self.config,
            class_names=self.class_names,
            metrics=metrics,
            space="" if self.teacher is None else self.teacher.space,
            train_names=self.train_names,
            also_trained_on=(self.teacher and self.teacher.trained_on) or (),
            start_weights=self.key["weights"],
        )

    def save_state(self, at: Progress, method: dict[str, Any] | None) -> None:
        """Write ``state.pt``, to resume from."""
        if is_main():
            save_state(self.path, self.config, self.key, at, method, self.device)
