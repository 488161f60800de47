#include <cstdlib>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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
// BITALG counts bytes and 16-bit lanes, VPOPCNTDQ the wider ones, VBMI2 compresses 16-bit lanes:
// all three came together.
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq") &&
           __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vbmi2");
}
#endif

#if defined(__x86_64__) && defined(__linux__)
// Asked by CPUID itself: compilers learned the names of these features late.
bool has_amx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_avx512() || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("gfni"))
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
    return (d & kTile) && (d & kInt8) && amx_permitted();
}
#endif

const Kernel kKernels[] = {
#if defined(__x86_64__) && defined(__linux__)
    {"amx", has_amx, avx512_collect, avx512_sifter, amx_batch},
#endif
#if defined(__x86_64__)
    {"avx512", has_avx512, avx512_collect, avx512_sifter},
    {"avx2", has_avx2, avx2_collect, avx2_sifter},
    {"popcnt", has_popcnt, popcnt_collect, popcnt_sifter},
#endif
    {"portable", always, portable_collect, portable_sifter},
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
