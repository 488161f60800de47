// What this process may use of the machine: the kernel's answer, narrowed by its cgroups (v1, v2).
#pragma once

#include <cstddef>
#include <string>

namespace dsah {

/// Cores that may be kept busy: CPU affinity, capped by the cgroup's quota rounded down; at least
/// 1. Down, because a group that has used up its quota stands still, all its threads, until the
/// next period: one thread too many makes every search wait, one too few costs its share at most.
/// dsah_infer/cpu.py follows the same rule.
///
/// `root` is put before /proc and /sys, for tests.
unsigned available_cores(const std::string& root = "");

/// Bytes that can still be had: what the kernel could free without swapping, or what is left to a
/// cgroup that leaves less; cached files that nobody has touched lately do not count as used.
/// SIZE_MAX if nothing is known.
std::size_t available_memory(const std::string& root = "");

}  // namespace dsah
