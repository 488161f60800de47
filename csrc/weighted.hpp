// Exact ranking by the asymmetric distance: the sum of |activation| of the query over the bits in
// which a code differs from it. Cheap to refine with, since only the query's activations are used.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.hpp"
#include "pool.hpp"
#include "snapshot.hpp"
#include "topk.hpp"

namespace dsah {

/// Weights of one query. Sums are exact and do not depend on the order of addition, because
/// |activation| is rounded to a multiple of 2^-40 of the next power of two above the largest.
class Weights {
  public:
    Weights(const Layout& layout, const std::uint8_t* query, const float* activations);

    std::int64_t distance(const std::uint8_t* packed) const {
        std::int64_t sum = 0;
        for (std::size_t i = 0; i < query_.size(); ++i)
            sum += sums_[i * 256 + (query_[i] ^ packed[i])];
        return sum;
    }
    /// Most bits in which a code can differ and still be within `bound`.
    std::uint32_t reach(std::int64_t bound) const;

  private:
    std::vector<std::uint8_t> query_;
    std::vector<std::int64_t> sums_;   // by byte of the code and value of the difference
    std::vector<std::int64_t> least_;  // least possible sum of 0, 1, 2, ... differing bits
};

/// The k best of one query by (asymmetric distance, Hamming distance, id), with their Hamming
/// distances. Hamming levels are taken up to the one whose least possible sum exceeds the k-th
/// best so far; `reach_hint` is a level known to hold at least k rows, where the scan may start.
std::vector<Ranked> weighted_search(const Snapshot& snapshot, const std::uint8_t* query,
                                    const Weights& weights, std::size_t k, std::uint32_t reach_hint,
                                    const std::uint64_t* eligible, CollectFn collect, Stop& stop);

}  // namespace dsah
