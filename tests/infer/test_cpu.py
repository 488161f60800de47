"""Cores and memory of this process, from affinity and both versions of cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsah_infer.cpu import available_cores, cpu_quota, memory_limit


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = {"proc/self/cgroup": "0::/pod/box\n"}
V1 = {"proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n"}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n"}, None),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "150000 100000\n"}, 1.5),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "400000 100000\n",
          "sys/fs/cgroup/pod/cpu.max": "200000 100000\n"}, 2.0),
        ({**V2, "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "rubbish\n"}, None),
        ({**V1, "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
          "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n"}, None),
        ({**V1, "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "300000\n",
          "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n"}, 3.0),
    ],
)  # fmt: skip
def test_quota(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    root = machine(tmp_path, files)
    assert cpu_quota(root) == quota
    own = len(os.sched_getaffinity(0))
    assert available_cores(root) == (own if quota is None else max(1, min(own, int(quota))))


def test_affinity_counts() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from dsah_infer.cpu import available_cores; print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "1", done.stderr


def test_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
    machine(tmp_path, {**V2, "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\n"})
    assert memory_limit(tmp_path) == 1000 * 1024
    machine(tmp_path, {"sys/fs/cgroup/pod/box/memory.max": "max\n"})
    assert memory_limit(tmp_path) == 1000 * 1024
    machine(tmp_path, {"sys/fs/cgroup/pod/memory.max": "4096\n"})
    assert memory_limit(tmp_path) == 4096


def test_this_machine_answers() -> None:
    assert available_cores() >= 1
    assert (memory_limit() or 0) > 2**20
