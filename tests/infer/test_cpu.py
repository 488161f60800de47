"""Cores and memory of this process, from affinity and both versions of cgroups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsah_infer import _core
from dsah_infer.cpu import available_cores, cpu_quota, memory_limit


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = {"proc/self/cgroup": "0::/pod/box\n"}
V1 = {"proc/self/cgroup": "2:cpuset:/\n4:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n"}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n"}, None),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "150000 100000\n"}, 1.5),
        ({**V2, "sys/fs/cgroup/pod/box/cpu.max": "400000 100000\n",
          "sys/fs/cgroup/pod/cpu.max": "200000 100000\n"}, 2.0),
        ({**V2, "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({**V2, "sys/fs/cgroup/cpu.max": "199000 100000\n"}, 1.99),
        ({**V2, "sys/fs/cgroup/cpu.max": "0 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1.0),
        ({"proc/self/cgroup": "rubbish\n", "sys/fs/cgroup/cpu.max": "1 100000\n"}, None),
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
    assert _core.available_cores(str(root)) == available_cores(root)  # one rule, two languages


def test_affinity_counts() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from dsah_infer import _core, cpu; print(cpu.available_cores(), _core.available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "1 1", done.stderr


def test_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None
    machine(tmp_path, {**V2, "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\n"})
    assert memory_limit(tmp_path) == 1000 * 1024
    machine(tmp_path, {"sys/fs/cgroup/pod/box/memory.max": "max\n"})
    assert memory_limit(tmp_path) == 1000 * 1024
    machine(tmp_path, {"sys/fs/cgroup/pod/memory.max": "4096\n"})
    assert memory_limit(tmp_path) == 4096


INFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    5000 kB\n"}
V2_BOX, V1_BOX = "sys/fs/cgroup/pod/box", "sys/fs/cgroup/memory/docker/abc"
STAT = "inactive_anon 7\ninactive_file 100\ntotal_inactive_file 300\n"


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, 2**64 - 1),  # nothing is known
        (INFO, 5000 * 1024),  # with the page cache, which free memory would leave out
        ({**INFO, **V2, f"{V2_BOX}/memory.max": "max\n", f"{V2_BOX}/memory.current": "900\n"},
         5000 * 1024),
        ({**INFO, **V2, f"{V2_BOX}/memory.max": "4000\n", f"{V2_BOX}/memory.current": "900\n",
          f"{V2_BOX}/memory.stat": STAT}, 4000 - (900 - 100)),
        ({**V2, "sys/fs/cgroup/pod/memory.max": "1000\n",  # a group above is tighter
          "sys/fs/cgroup/pod/memory.current": "2000\n"}, 0),
        ({**V2, f"{V2_BOX}/memory.max": "1000\n", f"{V2_BOX}/memory.current": "50\n",
          f"{V2_BOX}/memory.stat": STAT}, 1000),  # counted at another moment: not below zero
        ({**INFO, **V1, f"{V1_BOX}/memory.limit_in_bytes": "5000\n",
          f"{V1_BOX}/memory.usage_in_bytes": "4000\n", f"{V1_BOX}/memory.stat": STAT},
         5000 - (4000 - 300)),
        ({**INFO, **V1, f"{V1_BOX}/memory.limit_in_bytes": "9223372036854771712\n",
          f"{V1_BOX}/memory.usage_in_bytes": "4000\n"}, 5000 * 1024),
        ({**INFO, **V2, f"{V2_BOX}/memory.max": "4000\n"}, 5000 * 1024),  # half of it is hidden
    ],
)  # fmt: skip
def test_memory_that_is_left(tmp_path: Path, files: dict[str, str], left: int) -> None:
    assert _core.available_memory(str(machine(tmp_path, files))) == left


def test_this_machine_answers() -> None:
    assert available_cores() == _core.available_cores() >= 1
    assert (memory_limit() or 0) > 2**20
    assert 2**20 < _core.available_memory() <= (memory_limit() or 0)
