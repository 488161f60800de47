// The innermost loop: all rows of a run of codes that are close enough to one query.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "batch.hpp"
#include "layout.hpp"
#include "sift.hpp"

namespace dsah {

struct Hit {
    std::uint32_t row;
    std::uint32_t distance;
};

/// Hits written past the last real one; `out` needs room for the rows scanned plus these.
constexpr std::size_t kHitSlack = 16;

/// Writes every row in [begin, end) with distance <= limit to `out`, in row order; returns how
/// many.
///
/// `begin` is a multiple of 64. Memory is readable up to the end of the last block of 64 rows.
/// `eligible` is null or one bit per row (bit r % 64 of word r / 64); rows without it are left out.
using CollectFn = std::size_t (*)(const Layout& layout, const std::uint8_t* codes,
                                  std::size_t begin, std::size_t end, const std::uint64_t* query,
                                  std::uint32_t limit, const std::uint64_t* eligible, Hit* out);

/// The innermost loops of one instruction set, chosen once per index for its layout.
struct Loops {
    CollectFn collect = nullptr;
    BatchFn batch = nullptr;  ///< null where one query at a time is as fast
    Sifter sifter = portable_sifter;
};

/// One instruction set. A family holds one function per kind of lane.
struct Kernel {
    const char* name;
    bool (*supported)();
    CollectFn (*collect_for)(const Layout& layout);
    const Sifter& sifter;
    BatchFn (*batch_for)(const Layout& layout) = nullptr;

    Loops loops(const Layout& layout) const {
        return {collect_for(layout), batch_for ? batch_for(layout) : nullptr, sifter};
    }
};

/// Kernels that this machine can run, fastest first. The last one runs everywhere.
std::vector<const Kernel*> available_kernels();

/// The named kernel; for an empty name the one that DSAH_ISA names, else the fastest.
/// Throws Error(usage) for a name that is unknown or that this CPU lacks.
const Kernel& pick_kernel(const std::string& name = "");

CollectFn portable_collect(const Layout& layout);
CollectFn popcnt_collect(const Layout& layout);
CollectFn avx2_collect(const Layout& layout);
CollectFn avx512_collect(const Layout& layout);

BatchFn amx_batch(const Layout& layout);
bool amx_permitted();  ///< by the operating system, for this process

}  // namespace dsah
