"""Every departure of preset best from the paper, with its measured effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dsah_train.config import Config
from results.grids.ablations import CHANGES
from results.tables.records import load, markdown, shown_gain, shown_map

__all__ = ["table"]


def table() -> str:
    """One row per decision: how much MAP is lost where the paper's value is put back."""
    records = load("ablations")
    base = records.pop("best", None)
    rows = []
    for name, changed in CHANGES.items():
        record = records.get(name)
        if record is None or base is None:
            continue
        label = ", ".join(f"`{setting.rstrip('_')}`" for setting in changed)
        values = (_shown(each["settings"], changed) for each in (base, record))
        rows.append((label, *values, shown_map(record), shown_gain(record, base)))
    if rows and base is not None:
        rows.insert(0, ("preset best, batches of 64", "", "", shown_map(base), ""))
    return markdown(("decision", "before", "here", "MAP@all", "effect, points"), rows)


def _shown(settings: Mapping[str, object], names: Iterable[str]) -> str:
    """Values of the settings; files from before there was one were trained with its default."""
    values = (settings.get(name, getattr(Config, name)) for name in names)
    return ", ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)
