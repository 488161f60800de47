// Rows out of a snapshot: which there are, in which order, and what they hold.
#pragma once

#include <cstdint>
#include <vector>

#include "snapshot.hpp"

namespace dsah {

/// Numbers of up to `count` live rows from row number `first` on; `next` becomes where to go on.
std::vector<std::size_t> live_rows(const Snapshot& snapshot, std::size_t first, std::size_t count,
                                   std::size_t& next, Stop& stop);

/// Writes the numbers of all live rows, ids ascending.
void rows_by_id(const Snapshot& snapshot, std::uint32_t* rows, Stop& stop);

/// Writes the packed codes of some rows; zeros where there is kNoRow.
void copy_codes(const Snapshot& snapshot, const std::vector<std::size_t>& rows, std::uint8_t* codes,
                Stop& stop);

/// Writes the ids of some rows.
void copy_ids(const Snapshot& snapshot, const std::vector<std::size_t>& rows, std::int64_t* ids,
              Stop& stop);

}  // namespace dsah
