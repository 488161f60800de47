"""What an index holds in memory: as it says itself, and as the system counts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dsah_infer import HammingIndex
from tests.infer.ranking_reference import random_codes

PROGRAM = """
import json, sys
import numpy as np
from dsah_infer import HammingIndex

bits, ids, count, part = int(sys.argv[1]), sys.argv[2], 3_000_000, 500_000

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

def add(index, codes, start):
    own = 2 * np.arange(start, start + part) if ids == "own" else None
    index.add(codes, own)

codes = np.random.default_rng(0).integers(0, 256, (part, (bits + 7) // 8), dtype=np.uint8)
codes[:, -1] &= 0xFF << -bits % 8 & 0xFF
warm = HammingIndex(bits, sublinear=False)
add(warm, codes, 0)
warm.search(codes[:100], 10)
if ids == "own":
    warm.get([2])
del warm
before = resident()
index = HammingIndex(bits, sublinear=False)
index.reserve(count)
for start in range(0, count, part):
    add(index, codes, start)
index.search(codes[:100], 10)
searched = resident() - before
index.get([2])
print(json.dumps([searched / count, (resident() - before) / count]))
"""


def lane_bytes(bits):
    """Stored bytes of one code: see docs/index-format.md."""
    words, rest = divmod(-(-bits // 8), 8)
    return 8 * words + {0: 0, 1: 1, 2: 2, 3: 4, 4: 4}.get(rest, 8)


@pytest.mark.parametrize("bits", [*range(1, 130), 200, 256, 257, 500, 512, 1000, 4095, 4096])
def test_codes_take_at_most_1_3_times_their_bytes_or_a_lane(bits):
    index = HammingIndex(bits)
    index.add(random_codes(np.random.default_rng(0), 640, bits))
    each = index.stats()["bytes_per_code"]
    assert each == lane_bytes(bits)
    assert each in (1, 2, 4, 8) or each <= 1.3 * -(-bits // 8)
    assert index.stats()["code_bytes"] == 640 * each


def test_ids_cost_nothing_until_they_must():
    codes = random_codes(np.random.default_rng(0), 5000, 64)
    index = HammingIndex(64)
    index.add(codes)
    assert (5 in index, len(index.get([3, 4999]))) == (True, 2)
    index.remove([7])
    stats = index.stats()
    assert (stats["id_bytes"], stats["id_map_bytes"]) == (0, 0)
    index.add(codes, np.arange(5000, 10_000))  # a run: still only its first is stored
    assert index.stats()["id_bytes"] == 0
    index.add(codes, np.arange(10_000, 20_000, 2))
    index.search(codes[:3], 5)
    stats = index.stats()
    assert (stats["id_bytes"], stats["id_map_bytes"]) == (8 * 5000, 0)
    assert 10_002 in index
    assert 4 * 2 * 15_000 <= index.stats()["id_map_bytes"] <= 4 * 4 * 15_000


@pytest.mark.parametrize("bits", [12, 48, 64, 72, 256])
@pytest.mark.parametrize("ids", ["implicit", "own"])
def test_resident_memory_is_what_the_codes_and_ids_take(bits, ids):
    command = [sys.executable, "-c", PROGRAM, str(bits), ids]
    # The C library gives freed memory back at once, so that what is resident is in use.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    searched, looked_up = json.loads(subprocess.check_output(command, env=os.environ | settings))
    own = 8 if ids == "own" else 0
    # A few MB of pages belong to others; over three million codes that is less than a byte each.
    assert searched == pytest.approx(lane_bytes(bits) + own, abs=1.3)
    assert looked_up - searched == pytest.approx(0 if not own else 4 * 2**23 / 3e6, abs=1.3)
