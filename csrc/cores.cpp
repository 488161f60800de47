#include "cores.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

namespace dsah {
namespace {

/// Quota of one cgroup folder in cores, or 0 where it sets none.
double quota_at(const std::string& folder) {
    std::ifstream v2(folder + "/cpu.max");
    std::string quota;
    double period = 0;
    if (v2 >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
    std::ifstream v1(folder + "/cpu.cfs_quota_us"), v1_period(folder + "/cpu.cfs_period_us");
    double limit = 0;
    if (v1 >> limit && v1_period >> period && limit > 0 && period > 0) return limit / period;
    return 0;
}

/// The tightest quota on the way from this process's cgroup up to the root.
double cgroup_quota() {
    double tightest = 0;
    const auto consider = [&](double quota) {
        if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
    };
    std::ifstream membership("/proc/self/cgroup");
    for (std::string line; std::getline(membership, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && controllers.find("cpu") == std::string::npos) continue;
        const std::string root =
            controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
        std::string path = line.substr(second + 1);
        while (true) {
            consider(quota_at(root + path));
            if (path.empty() || path == "/") break;
            path.erase(path.rfind('/'));
        }
    }
    return tightest;
}

}  // namespace

unsigned available_cores() {
    unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) == 0)
        cores = std::max(1u, static_cast<unsigned>(CPU_COUNT(&mask)));
    const double quota = cgroup_quota();
    if (quota > 0) cores = std::min(cores, std::max(1u, static_cast<unsigned>(std::ceil(quota))));
    return cores;
}

}  // namespace dsah
