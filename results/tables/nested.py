"""Prefixes of one nested model beside models trained at each length."""

from __future__ import annotations

from results.tables.records import load, map_of, markdown, shown_map

__all__ = ["table"]


def table() -> str:
    """One row per length."""
    nested, rivals = load("nested"), load("rivals")
    model = nested.get("dsah-nested")
    if model is None:
        return markdown((), ())
    prefixes = {int(k): v for k, v in model["measurement"]["prefixes"].items()} | {
        48: map_of(model)
    }
    alone = {12: rivals.get("dsah-12"), 24: nested.get("dsah-24"), 48: rivals.get("dsah-48")}
    rows = [(str(bits), f"{value:.4f}", shown_map(alone[bits])) for bits, value in prefixes.items()]
    return markdown(("bits", "prefix of one model", "a model of its own"), rows)
