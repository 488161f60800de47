"""The tables of the report, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ranking.approximate import recall
from ranking.exact import collapsed, isas, learned, lengths, random64
from ranking.growth import slope, usearch
from ranking.storage import storage

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Callable[[float], list[dict[str, Any]]]] = {
    f.__name__: f
    for f in (random64, lengths, collapsed, learned, isas, storage, usearch, recall, slope)
}
