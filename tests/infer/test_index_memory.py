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

bits, shape, reserved = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "reserved"
count, part = 3_000_000, 500_000

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

def calls():  # the ids of each add(), `count` in all
    if shape == "implicit":
        yield from [None] * (count // part)
    elif shape == "own":
        yield from 2 * np.arange(count).reshape(-1, part)
    elif shape == "shuffled":
        yield from np.random.default_rng(1).permutation(count).reshape(-1, part)
    elif shape == "runs":
        yield from 5010 * np.arange(count // 5000)[:, None] + np.arange(5000)
    elif shape == "runs and singles":
        for start in range(0, 5010 * count // 5000, 5010):
            yield np.arange(start + 1, start + 5000)
            yield np.array([start])
    elif shape == "short runs":
        yield from 110 * np.arange(count // 100)[:, None] + np.arange(100)
    elif shape == "holes":
        ids = np.delete(np.arange(count + 2000), 1500 * np.arange(2000))
        yield from ids.reshape(-1, part)

codes = np.random.default_rng(0).integers(0, 256, (part, (bits + 7) // 8), dtype=np.uint8)
codes[:, -1] &= 0xFF << -bits % 8 & 0xFF
warm = HammingIndex(bits, sublinear=False)
warm.add(codes, 2 * np.arange(part))
warm.search(codes[:100], 10)
warm.get([2])
del warm
before = resident()
index = HammingIndex(bits, sublinear=False)
if reserved:
    index.reserve(count)
for ids in calls():
    index.add(codes[: part if ids is None else len(ids)], ids)
del ids
index.search(codes[:100], 10)
searched = resident() - before
index.get([2])
looked_up = resident() - before
held = index.stats()["held_bytes"]
index.compact()
compact = resident() - before
print(json.dumps([each / count for each in (searched, looked_up, held, compact)]))
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
    # Only ids that are stored are in the map.
    assert 4 * 2 * 5000 <= index.stats()["id_map_bytes"] <= 4 * 4 * 5000


def measure(bits, shape, room):
    """Bytes per code: resident, so after a look-up, held by stats(), resident when compacted."""
    command = [sys.executable, "-c", PROGRAM, str(bits), shape, room]
    # The C library gives freed memory back at once, so that what is resident is in use.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    return json.loads(subprocess.check_output(command, env=os.environ | settings))


@pytest.mark.parametrize("bits", [12, 48, 64, 72, 256])
@pytest.mark.parametrize("ids", ["implicit", "own"])
def test_resident_memory_is_what_the_codes_and_ids_take(bits, ids):
    searched, looked_up, _, _ = measure(bits, ids, "reserved")
    own = 8 if ids == "own" else 0
    # A few MB of pages belong to others; over three million codes that is less than a byte each.
    assert searched == pytest.approx(lane_bytes(bits) + own, abs=1.3)
    assert looked_up - searched == pytest.approx(0 if not own else 4 * 2**23 / 3e6, abs=1.3)


@pytest.mark.parametrize(
    ("shape", "own", "map_slots"),
    [
        ("implicit", 0, 0),
        ("own", 8, 2**23),
        ("shuffled", 8, 2**24),  # the map has grown with the adds, and has room for more
        ("runs", 0, 0),
        ("runs and singles", 0, 2**11),
        ("short runs", 8, 2**23),
        ("holes", 0, 0),
    ],
)
def test_memory_for_ids_of_any_shape(shape, own, map_slots):
    searched, looked_up, held, compact = measure(64, shape, "growing")
    needed = 8 + own
    # An index that grew without reserve() has some room for more, which need not be resident.
    assert needed <= held <= 1.3 * needed
    assert searched <= held + 4 * map_slots / 3e6 + 1.3
    assert looked_up <= 1.3 * (needed + 4 * map_slots / 3e6) + 1.3
    assert compact <= needed + 4 * map_slots / 3e6 + 1.3


@pytest.mark.parametrize("removed", [3000, 60_000])
def test_implicit_ids_stay_free_after_compact_and_load(removed, tmp_path):
    rng = np.random.default_rng(0)
    index = HammingIndex(64, sublinear=False)
    index.add(random_codes(rng, 1_000_000, 64))
    index.remove(rng.permutation(1_000_000)[:removed])
    index.upsert(random_codes(rng, 500, 64), rng.permutation(1_000_000)[:500])
    index.compact()
    few = removed == 3000
    assert (index.stats()["id_bytes"] < len(index) / 4) == few  # else eight bytes for each
    assert index.stats()["removed"] == 0
    index.save(tmp_path / "a")
    loaded = HammingIndex.load(tmp_path / "a")
    assert loaded.stats()["id_bytes"] == index.stats()["id_bytes"]
    asked = rng.permutation(1_000_000)
    for ours, theirs in zip(loaded._core.get(asked), index._core.get(asked), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_reserve_takes_memory_or_says_that_it_cannot():
    codes = random_codes(np.random.default_rng(0), 1000, 64)
    for ids in (None, np.arange(1000)[::-1]):
        index = HammingIndex(64)
        index.reserve(100_000)
        held = index.stats()["held_bytes"]
        assert held >= 8 * 100_000
        for start in range(0, 100_000, 1000):
            index.add(codes, None if ids is None else ids + start)
        assert (index.stats()["pieces"], len(index)) == (1, 100_000)
        assert index.stats()["held_bytes"] <= held
    index = HammingIndex(64)
    for _ in range(200):  # small steps end in few pieces all the same
        index.reserve(1000)
        index.add(codes)
    assert index.stats()["pieces"] < 40
    index.reserve(0)
    assert index.stats()["held_bytes"] <= 1.3 * 8 * 200_000
    program = (
        "import resource\n"
        "import numpy as np\n"
        "from dsah_infer import HammingIndex\n"
        "index = HammingIndex(4096)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "try:\n"
        "    index.reserve(2**32 - 2)\n"
        "except MemoryError as error:\n"
        "    print(error)\n"
        "for _ in range(2):\n"
        "    index.add(np.zeros((1, 512), np.uint8))\n"
        "print(len(index))\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said == "reserve(4294967294): so much memory cannot be had\n2\n"
