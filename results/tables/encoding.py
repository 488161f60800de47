"""What ``bench/encode.py`` measured, as README.md and docs/export.md show it."""

from __future__ import annotations

import json
from typing import Any

from results.tables.records import ROOT, markdown

__all__ = ["cleanups", "engines", "paper", "pipeline", "precision", "rivals", "start"]


def _rows(section: str) -> list[dict[str, Any]]:
    path = ROOT / "bench" / "results" / "encode.json"
    return json.loads(path.read_text()).get(section, {}).get("rows", []) if path.exists() else []


def engines() -> str:
    """Images per second, one row per engine."""
    found = {(r["engine"], r["threads"], r["batch"]): r for r in _rows("engines")}
    runs = sorted({key[1:] for key in found})
    names = dict.fromkeys(key[0] for key in found)
    header = ("engine", *(f"batch {b}, {t} thread{'s' * (t > 1)}" for t, b in runs), "x eager",
              "x fp32")  # fmt: skip
    rows = []
    for name in names:
        speeds = [f"{found[name, *run]['images_per_second']:.0f}" for run in runs]
        one = found[name, 1, 8]
        ratios = (f"{one[f'x {base}']:.2f}" for base in ("torch eager", "onnxruntime fp32"))
        rows.append((name, *speeds, *ratios))
    return markdown(header, rows)


def precision() -> str:
    """Bits and MAP of each precision."""
    rows = [
        (r["method"], r["precision"], f"{r['bytes'] / 1e6:.2f} MB", f"{r['equal bits']:.3%}",
         f"{r['top-10 in common']:.4f}", f"{r['MAP']:.4f}", f"{r['MAP'] - r['MAP, torch']:+.4f}",
         r["gate"])
        for r in _rows("precision")
    ]  # fmt: skip
    header = ("method", "precision", "file", "equal bits", "top-10 in common", "MAP@all",
              "change", "gate")  # fmt: skip
    return markdown(header, rows)


def cleanups() -> str:
    """Graphs before and after."""
    rows = [
        (r["graph"], str(r["nodes"]), f"{r['parameters'] / 1e6:.2f} M", f"{r['MACs'] / 1e6:.0f} M",
         f"{r['bytes'] / 1e6:.2f} MB", f"{r['ms']:.2f}", r["identical"] or "–")
        for r in _rows("cleanups")
    ]  # fmt: skip
    header = ("graph", "nodes", "parameters", "MACs", "file", "ms a picture",
              "identical to the row above")  # fmt: skip
    return markdown(header, rows)


def pipeline() -> str:
    """Files to codes beside what decoding and inference allow."""
    rows = [
        (r["pictures"], str(r["threads"]), *(f"{r[k]:.1f}" for k in
         ("decode", "inference", "bound", "whole")), f"{r['share']:.0%}")
        for r in _rows("pipeline")
    ]  # fmt: skip
    header = ("pictures", "threads", "decoding D", "inference I", "1 / (1/D + 1/I)", "whole",
              "share")  # fmt: skip
    return markdown(header, rows)


def start() -> str:
    """First code, bytes on disk, peak memory."""
    rows = [(r["what"], _number(r["value"])) for r in _rows("start")]
    return markdown(("", ""), rows)


def rivals() -> str:
    """What a user would pick instead."""
    rows = [
        (r["what"], f"{r['map']:.4f}", str(r["bytes_per_picture"]), f"{r['encode_ms']:.2f}",
         f"{r['search_ms_per_query']:.3f}")
        for r in _rows("rivals")
    ]  # fmt: skip
    header = ("", "MAP@all", "bytes a picture", "ms to encode", "ms to rank the gallery")
    return markdown(header, rows)


def paper() -> str:
    """The paper's pair, and what makes it cheaper."""
    rows = [
        (r["network"], f"{r['ms']:.0f}", f"{r['bytes'] / 1e6:.0f} MB",
         f"{r['parameters'] / 1e6:.0f} M", f"{r['MACs'] / 1e9:.1f} G")
        for r in _rows("paper")
    ]  # fmt: skip
    return markdown(("network", "ms a picture", "file", "parameters", "MACs"), rows)


def _number(value: float) -> str:
    return (
        f"{value / 1e6:.1f} MB"
        if value > 1e5
        else f"{value:.2f} s"
        if value < 1e3
        else f"{value / 1e3:.0f} kB"
    )
