"""What searches teach the planner, and what they take; more in csrc/tests/planner_test.cpp."""

import os
import subprocess
import sys

import numpy as np

from dsah_infer import HammingIndex


def test_a_small_radius_teaches_nothing_about_how_far_the_nearest_are():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (4096, 8), dtype=np.uint8)
    index = HammingIndex(64, sublinear=False)
    index.add(codes)
    query = rng.integers(0, 256, (1, 8), dtype=np.uint8)
    index.search(query, 10)
    for _ in range(100):
        index.range_search(query, 0, limit=10)
    index.search(query, 10)
    assert index.explain()["scanned_rows"] == len(codes)  # once: nobody looked too near first


def test_no_more_threads_than_there_is_work():
    script = """
import numpy as np
from dsah_infer import HammingIndex
index = HammingIndex(64, threads=200, sublinear=False)
codes = np.random.default_rng(0).integers(0, 256, (500_000, 8), dtype=np.uint8)
index.add(codes)
index.search(codes[:1], 3)
index.search(codes[:300], 3)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("Threads")))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 20  # 4 MB are four parts; 300 answers are put in order by 18
