#include <cstdlib>

#include "kernel.hpp"

namespace dsah {
namespace {

bool always() {
    return true;
}

#if defined(__x86_64__)
bool has_popcnt() {
    return __builtin_cpu_supports("popcnt");
}
bool has_avx2() {
    return has_popcnt() && __builtin_cpu_supports("avx2");
}
// BITALG counts bytes and 16-bit lanes, VPOPCNTDQ the wider ones; CPUs have both or neither.
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") &&
           __builtin_cpu_supports("avx512bitalg");
}
#endif

const Kernel kKernels[] = {
#if defined(__x86_64__)
    {"avx512", has_avx512, avx512_collect},
    {"avx2", has_avx2, avx2_collect},
    {"popcnt", has_popcnt, popcnt_collect},
#endif
    {"portable", always, portable_collect},
};

}  // namespace

std::vector<const Kernel*> available_kernels() {
    std::vector<const Kernel*> found;
    for (const Kernel& kernel : kKernels)
        if (kernel.supported()) found.push_back(&kernel);
    return found;
}

const Kernel& pick_kernel(const std::string& name) {
    std::string wanted = name;
    if (wanted.empty()) {
        const char* forced = std::getenv("DSAH_ISA");
        if (forced) wanted = forced;
    }
    std::string known;
    for (const Kernel* kernel : available_kernels()) {
        if (wanted.empty() || wanted == kernel->name) return *kernel;
        known += std::string(known.empty() ? "" : ", ") + kernel->name;
    }
    throw Error(Fault::usage,
                "isa = '" + wanted + "' is not available; this machine has: " + known);
}

}  // namespace dsah
