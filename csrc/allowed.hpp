// The rows that a search may return, from what a caller allows.
#pragma once

#include <cstdint>
#include <vector>

#include "snapshot.hpp"
#include "stop.hpp"

namespace dsah {

/// The rows in both forms in which a search may want them.
struct AllowedRows {
    Bitmap bitmap;  ///< all of them
    /// One by one, by rising number, as long as they are few: at most one in 32 of the live rows.
    /// The rest is left out; who finds so many takes the bitmap.
    std::vector<std::size_t> list;
};

/// The live rows that have one of these ids; ids that are absent allow nothing.
AllowedRows allow_ids(const Snapshot& snapshot, const std::int64_t* ids, std::size_t count,
                      Stop& stop = Stop::never());

/// The live rows whose id is a place in the mask that is not zero. Throws Error(usage) if the mask
/// ends before the largest id.
AllowedRows allow_mask(const Snapshot& snapshot, const std::uint8_t* mask, std::size_t size,
                       Stop& stop = Stop::never());

}  // namespace dsah
