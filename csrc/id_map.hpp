// From ids to rows. Where ids are runs the snapshot knows their rows; for ids that are stored one
// by one there is a table, built on first use, of 8 to 16 bytes each, twice that where it grows.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "locks.hpp"
#include "snapshot.hpp"

namespace dsah {

/// Serves all snapshots of one generation, on any thread. Writers need not know it: whoever looks
/// up an id first brings the map up to date with the snapshot that is searched.
///
/// Open addressing with linear probing. Slots hold row + 1; the ids themselves stay in the
/// snapshot. Removed rows keep their slot, and look-ups step over them, until that has cost as
/// much as making the table anew.
class IdMap {
  public:
    /// The live row of each id in `snapshot`, or kNoRow.
    std::vector<std::size_t> find(const Snapshot& snapshot, const std::int64_t* ids,
                                  std::size_t count, Stop& stop);
    std::size_t bytes() const;

  private:
    class Slots;
    static bool extend(Slots& slots, const Snapshot& snapshot, Stop& stop);
    std::shared_ptr<const Slots> up_to_date(const Snapshot& snapshot, Stop& stop);
    std::shared_ptr<Slots> present() const;

    ForkSafeMutex changing_;
    std::shared_ptr<Slots> slots_;  // swapped under publishing()
};

}  // namespace dsah
