#include "limits.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace dsah {
namespace {

/// Calls f(folder) for this process's cgroup of a controller and for each one above it.
template <class F>
void each_group(const std::string& root, const std::string& controller, F&& f) {
    std::ifstream membership(root + "/proc/self/cgroup");
    for (std::string line; std::getline(membership, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string names = line.substr(first + 1, second - first - 1);
        const bool v2 = names.empty();
        if (!v2 && ("," + names + ",").find("," + controller + ",") == std::string::npos) continue;
        const std::string top = root + "/sys/fs/cgroup" + (v2 ? "" : "/" + controller);
        // A container may see its own group as the top and be told its name outside: folders
        // that are not there set no limit, and the way up ends at the top.
        for (std::string path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
            f(top + path);
            if (path.empty() || path[0] != '/' || path == "/") break;
        }
    }
}

/// The number that a file holds; false for "max" and for files that are not there.
bool read_number(const std::string& path, std::uint64_t& number) {
    std::ifstream file(path);
    return static_cast<bool>(file >> number);
}

/// Quota of one cgroup folder in cores, or 0 where it sets none.
double quota_at(const std::string& folder) {
    double limit = 0, period = 0;
    std::ifstream v2(folder + "/cpu.max");
    if (v2 >> limit >> period) return limit > 0 && period > 0 ? limit / period : 0;
    std::ifstream v1(folder + "/cpu.cfs_quota_us"), v1_period(folder + "/cpu.cfs_period_us");
    if (v1 >> limit && v1_period >> period && limit > 0 && period > 0) return limit / period;
    return 0;
}

std::uint64_t entry(const std::string& path, const std::string& name) {
    std::ifstream file(path);
    std::string key;
    for (std::uint64_t value; file >> key >> value;)
        if (key == name) return value;
    return 0;
}

/// How one version of cgroups names its files; in version 1 a group's own pages and all below.
struct MemoryFiles {
    const char *limit, *used, *cached;
};
constexpr MemoryFiles kMemoryFiles[] = {
    {"/memory.max", "/memory.current", "inactive_file"},
    {"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"}};

}  // namespace

unsigned available_cores(const std::string& root) {
    unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) == 0)
        cores = std::max(1u, static_cast<unsigned>(CPU_COUNT(&mask)));
    each_group(root, "cpu", [&](const std::string& folder) {
        const double quota = quota_at(folder);
        if (quota > 0 && quota < cores) cores = std::max(1u, static_cast<unsigned>(quota));
    });
    return cores;
}

std::size_t available_memory(const std::string& root) {
    std::uint64_t least = SIZE_MAX;
    std::ifstream info(root + "/proc/meminfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("MemAvailable:", 0) == 0)
            least = std::strtoull(line.c_str() + sizeof "MemAvailable:" - 1, nullptr, 10) * 1024;
    each_group(root, "memory", [&](const std::string& folder) {
        for (const MemoryFiles& files : kMemoryFiles) {
            std::uint64_t limit, used;
            if (!read_number(folder + files.limit, limit)) continue;
            if (!read_number(folder + files.used, used)) continue;
            used -= std::min(used, entry(folder + "/memory.stat", files.cached));
            least = std::min(least, limit - std::min(limit, used));
        }
    });
    return static_cast<std::size_t>(least);
}

}  // namespace dsah
