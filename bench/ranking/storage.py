"""Taking codes in, saving and opening them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from dsah_infer import HammingIndex
from ranking.beside_faiss import index_of
from ranking.clock import race, seconds
from ranking.codes import random_codes

__all__ = ["storage"]


def storage(scale: float) -> list[dict[str, Any]]:
    """add, save and open: floors 100 M codes/s; .8 of a plain write and flush; under 10 ms.

    Saves and plain writes of as many bytes take turns, each into a new file.
    """
    n, large = int(10_000_000 * scale), int(100_000_000 * scale)
    codes = random_codes(n, 64)
    rate = n / race({"add": lambda: HammingIndex(64).add(codes)})["add"] / 1e6
    index = index_of(codes, 64, 1)
    for _ in range(large // n - 1):
        index.add(codes)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        path, raw = Path(folder) / "a", Path(folder) / "raw"

        def write_raw() -> None:
            raw.unlink(missing_ok=True)
            with raw.open("wb") as file:
                for _ in range(large // n):
                    file.write(codes)
                file.flush()
                os.fsync(file.fileno())

        def save() -> None:
            path.unlink(missing_ok=True)
            index.save(path)

        took = race({"save": save, "write": write_raw})
        size = path.stat().st_size / 1e9
        share = took["write"] / took["save"]
        opened = 1e3 * race({"map": lambda: HammingIndex.load(path, mmap=True)})["map"]
        mapped = HammingIndex.load(path, mmap=True)
        first = 1e3 * seconds(lambda: mapped.search(codes[:1], 10))
        second = 1e3 * seconds(lambda: mapped.search(codes[1:2], 10))
    return [
        {"what": f"add {n:,} codes, implicit ids", "value": rate, "unit": "M codes/s",
         "floor": 100, "holds": rate >= 100},
        {"what": f"save {large:,} codes", "value": size / took["save"], "unit": "GB/s"},
        {"what": "plain write of as many bytes", "value": size / took["write"], "unit": "GB/s"},
        {"what": "save over plain write", "value": share, "unit": "", "floor": 0.8,
         "holds": share >= 0.8},
        {"what": f"map {large:,} codes", "value": opened, "unit": "ms", "at_most": 10,
         "holds": opened <= 10},
        {"what": "first query of the mapped file, its checksums compared before", "value": first,
         "unit": "ms"},
        {"what": "second query of the mapped file, a scan", "value": second, "unit": "ms"},
    ]  # fmt: skip
