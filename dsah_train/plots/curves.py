"""Line plots: training, precision against recall and rank, MAP against code length."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsah_infer.errors import DataError
from dsah_train.metrics import Curve
from dsah_train.plots.style import COLOURS, INK, MARKERS, axes, plain_ticks, save, whole_ticks

__all__ = ["map_against_bits", "precision_at_rank", "precision_recall", "training_curves"]

PathLike = str | os.PathLike[str]


def training_curves(metrics_jsonl: PathLike, out_png: PathLike) -> Path:
    """Loss and validation MAP over epochs, from a run's ``metrics.jsonl``.

    Each line is a record with ``epoch``, ``phase`` (select or refit), ``step`` (attention,
    hashing, ...), ``loss`` and, where it was measured, ``val_map``. Records of one epoch, phase
    and step are averaged. A last line cut short by a kill is ignored.

    Raises:
        DataError: The file is missing or holds no record with a loss.
    """
    losses, maps = _by_phase(_records(Path(metrics_jsonl)))
    if not losses:
        raise DataError(f"{metrics_jsonl}: no record with an epoch and a loss")
    figure, cells = axes(2 if maps else 1, 1, height=5.2 if maps else 3.2)
    steps = sorted({step for _, step in losses})
    for (phase, step), points in losses.items():
        _line(cells[0], points, f"{step} ({phase})", steps.index(step), dashed=phase != "select")
    cells[0].set_ylabel("loss")
    cells[0].set_title("Training: mean loss per epoch", loc="left", color=INK)
    values = [v for points in losses.values() for v in points.values()]
    if 0 < 10 * min(values) < max(values):  # over less the logarithmic axis would be nearly bare
        cells[0].set_yscale("log")
        plain_ticks(cells[0].yaxis, minor=True)
    for phase, points in maps.items():
        _line(cells[1], points, f"validation MAP ({phase})", 0, dashed=phase != "select")
        best = max(points, key=lambda epoch: points[epoch])
        cells[1].plot([best], [points[best]], "o", color=COLOURS[0], markersize=7)
        cells[1].annotate(
            f"{points[best]:.3f} at epoch {best}",
            (best, points[best]),
            textcoords="offset points",
            xytext=(0, -18),
            ha="right" if best == max(points) else "center",
            fontsize=9,
            color=INK,
        )
    if maps:
        cells[1].set_ylabel("MAP")
        cells[1].set_ylim(0, 1.02)
    for cell in cells:
        cell.legend(frameon=False, fontsize=9)
        cell.set_xlim(0.5, 0.5 + max(epoch for points in losses.values() for epoch in points))
        whole_ticks(cell.xaxis)
    cells[-1].set_xlabel("epoch")
    return save(figure, out_png)


def precision_recall(curves: Mapping[str, Curve], out_png: PathLike, *, title: str = "") -> Path:
    """Precision against recall over all ranks (`Evaluation.by_rank`), one line per name."""
    figure, (cell,) = axes()
    for i, (name, curve) in enumerate(curves.items()):
        cell.plot(curve.recall, curve.precision, label=name, color=_colour(i), linewidth=1.8)
    cell.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    return _finish(figure, cell, title or "Precision and recall over ranks", curves, out_png)


def precision_at_rank(curves: Mapping[str, Curve], out_png: PathLike, *, title: str = "") -> Path:
    """Mean precision of the first N items against N (`Evaluation.by_rank`)."""
    figure, (cell,) = axes()
    for i, (name, curve) in enumerate(curves.items()):
        cell.plot(curve.at, curve.precision, label=name, color=_colour(i), linewidth=1.8)
    cell.set_xscale("log")
    plain_ticks(cell.xaxis)
    cell.set(ylim=(0, 1.02), xlabel="N, first items of the ranking", ylabel="precision at N")
    return _finish(figure, cell, title or "Precision at N", curves, out_png)


def map_against_bits(
    series: Mapping[str, Mapping[int, Sequence[float]]], out_png: PathLike, *, title: str = ""
) -> Path:
    """MAP@all against code length: mean line, one point per seed, bar from least to most.

    Args:
        series: For each name (a method), MAP of every seed by bits.
        out_png: File to write.
        title: Title of the plot.
    """
    figure, (cell,) = axes()
    for i, (name, by_bits) in enumerate(series.items()):
        bits = sorted(by_bits)
        means = [sum(by_bits[b]) / len(by_bits[b]) for b in bits]
        cell.plot(
            bits,
            means,
            label=name,
            color=_colour(i),
            marker=MARKERS[i % len(MARKERS)],
            linewidth=1.8,
        )
        for b in bits:
            if len(by_bits[b]) > 1:
                cell.vlines(b, min(by_bits[b]), max(by_bits[b]), color=_colour(i), alpha=0.5)
                cell.scatter([b] * len(by_bits[b]), by_bits[b], s=9, color=_colour(i), alpha=0.6)
    every = sorted({b for by_bits in series.values() for b in by_bits})
    cell.set_xticks(every, [str(b) for b in every])
    cell.set(xlabel="bits", ylabel="MAP@all")
    return _finish(figure, cell, title or "MAP against code length", series, out_png, force=True)


def _finish(
    figure: Any, cell: Any, title: str, names: Mapping[str, Any], out: PathLike, force: bool = False
) -> Path:
    cell.set_title(title, loc="left", color=INK)
    if len(names) > 1 or force:
        cell.legend(frameon=False, fontsize=9)
    return save(figure, out)


def _line(cell: Any, points: dict[int, float], label: str, colour: int, *, dashed: bool) -> None:
    epochs = sorted(points)
    cell.plot(
        epochs,
        [points[e] for e in epochs],
        "--" if dashed else "-",
        label=label,
        color=_colour(colour),
        linewidth=1.8,
        marker="." if len(epochs) < 30 else "",
    )


def _colour(position: int) -> str:
    return COLOURS[position % len(COLOURS)]


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; a run writes it while it trains") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):
                break
            raise DataError(f"{path}: line {number} is not JSON") from None
        if isinstance(record, dict) and "epoch" in record:
            records.append(record)
    return records


def _by_phase(
    records: list[dict[str, Any]],
) -> tuple[dict[tuple[str, str], dict[int, float]], dict[str, dict[int, float]]]:
    losses: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    maps: dict[str, dict[int, float]] = defaultdict(dict)
    for record in records:
        phase, epoch = str(record.get("phase", "select")), int(record["epoch"])
        if record.get("loss") is not None:
            losses[phase, str(record.get("step", "loss"))][epoch].append(float(record["loss"]))
        if record.get("val_map") is not None:
            maps[phase][epoch] = float(record["val_map"])
    means = {
        key: {epoch: sum(values) / len(values) for epoch, values in by_epoch.items()}
        for key, by_epoch in losses.items()
    }
    return means, dict(maps)
