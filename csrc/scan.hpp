// Blocks of the gallery against blocks of queries, from cache.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"
#include "pool.hpp"
#include "snapshot.hpp"
#include "topk.hpp"

namespace dsah {

/// Queries of one call, spread into lanes: query i starts at lanes[i * layout.lanes()].
struct Queries {
    std::vector<std::uint64_t> lanes;
    std::size_t count = 0;
    std::uint32_t width = 0;
    const std::int64_t* only_above = nullptr;  ///< per query: ids up to this one do not count

    const std::uint64_t* at(std::size_t i) const { return lanes.data() + i * width; }
    std::int64_t above(std::size_t i) const { return only_above ? only_above[i] : -1; }
    /// The queries with a flag, as a batch of their own; its `only_above` points into `above_out`.
    Queries select(const std::vector<char>& flags, std::vector<std::int64_t>& above_out) const;
};

/// Feeds every row from `first_row` (a multiple of 64) on to the collectors, one per query.
/// `eligible` is null or one bit per row of the snapshot.
void scan(const Snapshot& snapshot, std::size_t first_row, const Queries& queries,
          const std::uint64_t* eligible, const Loops& loops, unsigned threads, Stop& stop,
          std::vector<TopK>& found);

}  // namespace dsah
