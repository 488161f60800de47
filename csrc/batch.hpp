// Many queries against a block of rows at once, as a product of matrices.
//
// With the bits of a code as c_k in {0, 1}, the Hamming distance to a query q is
//     d = |q| + sum_k c_k (1 - 2 q_k),
// a product of 8-bit integers that matrix units compute faster than any count of bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layout.hpp"

namespace dsah {

struct BatchHit {
    std::uint32_t query, row, distance;
};

/// The queries of a batch as the right-hand matrix, and how far each one reaches.
class QueryMatrix {
  public:
    static constexpr std::size_t kTile = 16;  ///< queries, and rows, of a tile
    static constexpr std::size_t kTileBytes = 1024;

    /// Query i starts at lanes[i * layout.lanes()], which must outlive the matrix. All reach
    /// nowhere until told.
    QueryMatrix(const Layout& layout, const std::uint64_t* lanes, std::size_t count);

    void set_limit(std::size_t query, std::int64_t limit) {
        reach_[query] = static_cast<std::int32_t>(limit) + 1;
        start_[query] = ones_[query] - reach_[query];
    }
    /// Of tiles: kernels take two at a time.
    std::size_t pairs() const { return tiles_ / 2; }
    std::size_t lanes() const { return lanes_; }
    /// Where a bit of a lane stands among the 64 factors: bit j of byte i at 8 j + i.
    static constexpr std::size_t place(std::size_t bit) { return bit % 8 * 8 + bit / 8; }
    /// Factors 2 q_k - 1 of 16 queries and one lane: row k / 4 holds k % 4 of each query in turn.
    const std::uint8_t* tile(std::size_t tile, std::size_t lane) const {
        return lines_.data()->bytes + (tile * lanes_ + lane) * kTileBytes;
    }
    /// |q| - limit - 1 of the 16 queries of a tile: added to the product, it is negative exactly
    /// for codes within the limit.
    const std::int32_t* start(std::size_t tile) const { return start_ + tile * kTile; }
    /// The lanes of a query.
    const std::uint64_t* code(std::size_t query) const { return codes_ + query * lanes_; }
    /// limit + 1 of each query.
    const std::int32_t* reach() const { return reach_; }

  private:
    const std::uint64_t* codes_;
    std::size_t lanes_, tiles_;
    // From the heap: to unmap memory, a thread interrupts all others of its process.
    struct alignas(64) Line {
        std::uint8_t bytes[64];
    };
    std::vector<Line> lines_, numbers_;
    std::int32_t *ones_, *start_, *reach_;
};

/// Rows that a call takes at once: few, so that limits tighten soon, yet enough to be worth
/// setting up the matrix unit.
constexpr std::size_t kBatchRows = 32 * kBlockRows;
/// Fewer queries than this are faster one by one.
constexpr std::size_t kBatchQueries = 16;

/// Writes the hits among rows [begin, end) to `out`, rows rising for each query; returns how many.
///
/// `begin` is a multiple of 64 and end - begin at most kBatchRows; `out` has room for that many
/// rows times the queries. `eligible` as for CollectFn.
using BatchFn = std::size_t (*)(const Layout& layout, const std::uint8_t* codes, std::size_t begin,
                                std::size_t end, const QueryMatrix& queries,
                                const std::uint64_t* eligible, BatchHit* out);

}  // namespace dsah
