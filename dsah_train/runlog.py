"""What a run leaves to look at: metrics.jsonl, TensorBoard scalars and curves.png."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from dsah_infer.atomic_file import replacing
from dsah_infer.errors import DataError, install_hint

__all__ = ["RunLog"]

_log = logging.getLogger(__name__)


class RunLog:
    """Appends records to a run folder.

    Args:
        folder: The run folder; created.
        keep: Number of records of an earlier process to keep: those behind the epoch that is
            resumed are dropped, so that a killed and resumed run logs what an unbroken one does.
    """

    def __init__(self, folder: Path, keep: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "metrics.jsonl"
        lines = self.path.read_text().splitlines(keepends=True)[:keep] if keep else []
        with replacing(self.path) as file:
            file.write("".join(lines).encode())
        self.count = len(lines)
        self._writer = _tensorboard(folder)

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append records, mirror their numbers to TensorBoard and redraw the curves."""
        with self.path.open("a", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record) + "\n")
        self.count += len(records)
        for record in records if self._writer is not None else ():
            tag = f"{record['phase']}/{record['step']}"
            for name, value in record.items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{tag}/{name}", value, record["epoch"])
        try:
            from dsah_train.plots.curves import training_curves

            training_curves(self.path, self.folder / "curves.png")
        except (ImportError, DataError) as error:  # a plot never stops a training
            _log.info("no curves.png: %s", error)

    def close(self) -> None:
        """Flush what TensorBoard buffers."""
        if self._writer is not None:
            self._writer.close()


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard writer, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _log.info("tensorboard is not installed: no scalars (%s)", install_hint("train"))
        return None
    return SummaryWriter(str(folder / "tensorboard"))
