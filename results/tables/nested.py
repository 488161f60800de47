"""Prefixes of one nested model beside models trained at each length."""

from __future__ import annotations

from results.tables.records import Record, load, markdown

__all__ = ["table"]


def table() -> str:
    """One row per length."""
    nested, rivals = load("nested"), load("rivals")
    model = nested.get("dsah-nested")
    if model is None:
        return markdown((), ())
    prefixes = {int(k): v for k, v in model["measurement"]["prefixes"].items()} | {
        48: _in_order(model)
    }
    alone = {12: rivals["dsah-12"], 24: nested["dsah-24"], 48: rivals["dsah-48"]}
    rows = [
        (str(bits), f"{value:.4f}", f"{_in_order(alone[bits]):.4f}")
        for bits, value in prefixes.items()
    ]
    return markdown(("bits", "prefix of one model", "a model of its own"), rows)


def _in_order(record: Record) -> float:
    """MAP in the order (distance, id), the one figure that is kept of a prefix."""
    value: float = record["measurement"]["evaluation"]["map"]
    return value
