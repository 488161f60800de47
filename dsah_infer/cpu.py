"""What this process may use of the machine: CPU set, cgroup quota, memory limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_cores", "cpu_quota", "memory_limit"]

_ROOT = Path("/")


def available_cores(root: Path = _ROOT) -> int:
    """Cores this process may keep busy: its affinity, capped by its cgroup's quota; at least 1.

    A quota of 1.5 cores counts as 1: when a second thread has used it up, both stand still until
    the next period. csrc/limits.cpp follows the same rule.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_quota(root)
    return max(1, min(cores or 1, int(quota) if quota else cores or 1))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """The tightest CPU quota of this process's cgroups in cores; None without one."""
    quotas = []
    for folder in _groups(root, "cpu"):
        limit = _words(folder / "cpu.max")  # version 2: "quota period" or "max period"
        if len(limit) < 2:  # version 1: two files, -1 for none
            limit = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(limit) == 2 and all(word.isdigit() and int(word) for word in limit):
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes this process may use: the least of machine and cgroups; None if unknown."""
    limits = []
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limits += [int(word) for word in _words(folder / name) if word.isdigit()]
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's cgroup and its parents, for cgroup versions 1 and 2."""
    base = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        if line.count(":") < 2:
            continue
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        top = base / controller if names else base
        folder = top / path.lstrip("/")
        yield folder
        yield from (p for p in folder.parents if p == top or top in p.parents)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # not Linux, or hidden from a container
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
