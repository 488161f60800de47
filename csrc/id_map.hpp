// From the caller's ids to rows; built on first use, four bytes per slot.
#pragma once

#include <cstdint>
#include <vector>

#include "snapshot.hpp"

namespace dsah {

/// Open addressing with linear probing. Slots hold row + 1; the ids themselves stay in the
/// snapshot. Removed rows keep their slot, which is harmless: lookups skip rows that are dead.
class IdMap {
  public:
    static constexpr std::size_t kAbsent = SIZE_MAX;

    explicit IdMap(const Snapshot& snapshot);
    /// The live row with this id, or kAbsent.
    std::size_t find(const Snapshot& snapshot, std::int64_t id) const;
    /// Note rows [first, span) that a writer has just published.
    void extend(const Snapshot& snapshot, std::size_t first);
    std::size_t bytes() const { return slots_.size() * sizeof(std::uint32_t); }

  private:
    void insert(std::int64_t id, std::size_t row);
    void rebuild(const Snapshot& snapshot, std::size_t rows);
    std::vector<std::uint32_t> slots_;
    std::size_t used_ = 0;
};

}  // namespace dsah
