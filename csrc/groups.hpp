// Identical codes, stored once. Supervised codes collapse to few distinct ones; a search then
// looks at each distinct code once and takes the rows behind it for free.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pool.hpp"
#include "snapshot.hpp"

namespace dsah {

class Groups {
  public:
    /// Groups the live rows of a snapshot.
    Groups(const Snapshot& snapshot, unsigned threads, Stop& stop);

    /// Distinct codes, as a snapshot of their own whose ids are the group numbers.
    const Snapshot& units() const { return units_; }
    std::size_t count() const { return units_.live; }
    /// Rows of one group, ids ascending.
    const std::uint32_t* begin(std::size_t group) const { return rows_.data() + offsets_[group]; }
    const std::uint32_t* end(std::size_t group) const { return rows_.data() + offsets_[group + 1]; }
    std::size_t bytes() const;

  private:
    Snapshot units_;
    std::vector<std::uint32_t> offsets_, rows_;
};

/// Share of distinct codes in an evenly spaced sample of the live rows, in (0, 1].
double distinct_share(const Snapshot& snapshot, std::size_t sample);

}  // namespace dsah
