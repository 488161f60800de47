// What a writer does to the next snapshot before it is published. Nothing here is seen by readers,
// so a call that is stopped or fails half-way has changed nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "snapshot.hpp"
#include "stop.hpp"

namespace dsah {

constexpr std::size_t kMaxRows = UINT32_MAX - 1;  // hits and the id map name rows by 32 bits

/// A snapshot of no rows.
std::shared_ptr<Snapshot> empty_snapshot(const Layout& layout);

/// Ids as a caller gives them.
struct GivenIds {
    const std::int64_t* data = nullptr;  ///< null: count up from the next free id
    std::size_t count = 0;
    std::vector<Run> runs;      ///< that they are; empty if those are many or `data` is null
    bool rising = true;         ///< each is more than the one before
    std::int64_t largest = -1;  ///< of those in `data`

    /// Throws Error(usage) for an id outside 0 to 2^63 - 2.
    GivenIds(const std::int64_t* ids, std::size_t count, Stop& stop);
};

/// Takes memory for that many more rows and their ids. Throws bad_alloc if it cannot be had.
void reserve_rows(Snapshot& next, std::size_t rows);

/// Appends packed codes. Throws Error(usage) if an index cannot hold that many.
void append(Snapshot& next, const std::uint8_t* packed, const GivenIds& ids, Stop& stop);

/// Notes the runs of a piece among those of the snapshot.
void note_runs(Snapshot& next, const Piece& piece);

/// Marks rows as removed; returns how many were not yet.
std::size_t bury(Snapshot& next, const std::vector<std::size_t>& rows, Stop& stop);

/// The live rows of a snapshot in one piece of memory, under new row numbers.
std::shared_ptr<Snapshot> compacted(const Snapshot& now, Stop& stop);

}  // namespace dsah
