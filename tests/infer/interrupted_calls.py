"""Runs kinds of calls on large indexes, each over and over until Ctrl-C; a program of its own.

It reads the name of a kind, prints ``ready``, and, when interrupted, the time and whether the
index still answers rightly; then it reads the next.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from dsah_infer import HammingIndex
from dsah_infer.duplicates import groups_within

folder, threads, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
codes = rng.integers(0, 256, (size, 8), dtype=np.uint8)
codes[size // 2 :] &= 3  # half of them in groups
shuffled = rng.permutation(size)
activations = rng.standard_normal((20_000, 64)).astype(np.float32)


def filled(ids=None, **options):
    fresh = HammingIndex(64, threads=threads, **options)
    fresh.add(codes, ids)
    return fresh


index, named = filled(sublinear=False), filled(shuffled, sublinear=False)
index.save(folder / "index")
named.save(folder / "named")
tables = filled()
tables.build()
equal = HammingIndex(64, threads=threads)
equal.add(np.zeros_like(codes), shuffled)
snapshot = named._core.snapshot()
rows = shuffled.astype(np.uint32)
twins = HammingIndex(64, threads=threads, sublinear=False)
twins.add(np.concatenate([codes[: size // 2]] * 2), shuffled[: size // 2 * 2])
labels = codes[:, 0] % 10


def remove():
    fresh = filled(shuffled)
    fresh.remove(shuffled[: size // 2])
    fresh.compact()


CALLS = {
    "search": lambda: index.search(codes[:100_000], 10),
    "search one": lambda: index.search(codes[:1], 10),
    "search deep": lambda: index.search(codes[:50], size // 2),
    "search allowed": lambda: index.search(codes[:100], 10, allow=shuffled[: size // 2]),
    "search masked": lambda: index.search(codes[:100], 10, allow=codes[:, 0] > 1),
    "search masked ids": lambda: named.search(codes[:100], 10, allow=codes[:, 0] > 1),
    "search listed": lambda: index.search(codes[:100], 10, allow=shuffled[: size // 40]),
    "search weighted": lambda: index.search(codes[:20_000], 10, weights=activations),
    "search weighted deep": lambda: index.search(codes[:2], size // 2, weights=activations[:2]),
    "search weighted whole": lambda: index.search(codes[:1], size, weights=activations[:1]),
    "range": lambda: index.range_search(codes[-3:], 64),
    "range stored ids": lambda: named.range_search(codes[-3:], 64),
    "count": lambda: index.count(codes[:100_000], 30),
    "pairs": lambda: [0 for _ in index.pairs_within(2)],
    "pairs stored ids": lambda: [0 for _ in named.pairs_within(2)],
    "tables search": lambda: tables.search(codes, 10),
    "tables range": lambda: tables.range_search(codes[-20_000:], 1, limit=5),
    "tables pairs": lambda: [0 for _ in tables.pairs_within(0)],
    "equal search": lambda: equal.search(codes[:100], size // 100),
    "equal search deep": lambda: equal.search(codes[:3], size),
    "equal weighted": lambda: equal.search(codes[:1], size, weights=activations[:1]),
    "equal range": lambda: equal.range_search(np.zeros((3, 8), np.uint8), 0),
    "equal pairs": lambda: [0 for _ in equal.pairs_within(0)],
    "equal build": equal.build,
    "groups": lambda: groups_within(named, 0),
    "groups near": lambda: groups_within(named, 1),
    "groups of two": lambda: groups_within(twins, 0),
    "groups of all": lambda: groups_within(equal, 0),
    "calibrate": lambda: index.calibrate(codes, labels),
    "one chunk": lambda: [*named.chunks(size)],
    "take": lambda: snapshot.take(rows),
    "add": filled,
    "add ids": lambda: filled(shuffled),
    "add duplicates": lambda: HammingIndex(64).upsert(codes, shuffled // 2),
    "build": lambda: filled().build(),
    "remove and compact": remove,
    "look up": lambda: filled(shuffled).get(shuffled),
    "merge": lambda: HammingIndex(64).merge(named),
    "save": lambda: index.save(folder / "again"),
    "save stored ids": lambda: named.save(folder / "again"),
    "load": lambda: HammingIndex.load(folder / "index"),
    "load stored ids": lambda: HammingIndex.load(folder / "named"),
    "open and verify": lambda: HammingIndex.load(folder / "index", mmap=True).search(codes[:1], 1),
}

for line in sys.stdin:
    call = CALLS[line.strip()]
    try:
        print("ready", flush=True)
        while True:
            call()
    except KeyboardInterrupt:
        stopped = time.time()
    usable = not list(folder.glob("*.tmp-*"))
    for each, ids in ((index, np.arange(2)), (named, shuffled[:2]), (tables, np.arange(2))):
        found = each.search(codes[:2], 1)
        usable &= len(each) == size and not found[0].any() and (found[1][:, 0] == ids).all()
    print(stopped, bool(usable), flush=True)
