// What a search sees: an immutable view of the rows, unaffected by what a writer does next.
//
// Rows are append-only. A writer fills memory beyond the rows of every published snapshot and
// then publishes a new one; removal publishes a new `alive` bitmap. Rows are numbered through all
// pieces; each piece starts at a multiple of 64, so that bitmaps are read by whole words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "layout.hpp"
#include "memory.hpp"
#include "runs.hpp"
#include "stop.hpp"

namespace dsah {

constexpr std::size_t kNoRow = SIZE_MAX;

using Bitmap = std::vector<std::uint64_t>;
inline bool test_bit(const std::uint64_t* words, std::size_t row) {
    return words[row / 64] >> row % 64 & 1;
}

/// Memory for codes, and for ids unless they are few runs.
struct Segment {
    std::shared_ptr<Memory> codes;
    std::shared_ptr<Memory> ids;  ///< one by one; null if they are runs
    std::int64_t id_base = 0;     ///< of row 0, if they are runs
    std::vector<Run> runs;        ///< by rising row; empty if there is just one, from row 0 on
    std::size_t capacity = 0;     ///< rows that `codes` has room for
    bool writable = false;

    /// Ids are these runs, one at least.
    void keep_runs(std::vector<Run> all) {
        ids = nullptr;
        id_base = all[0].id;
        if (all.size() == 1) all.clear();
        runs = std::move(all);
    }
    std::int64_t id(std::size_t row) const {
        if (ids) {
            std::int64_t id;
            std::memcpy(&id, ids->data() + 8 * row, 8);
            return id;
        }
        if (runs.empty()) return id_base + static_cast<std::int64_t>(row);
        const auto after =
            std::upper_bound(runs.begin(), runs.end(), row,
                             [](std::size_t r, const Run& run) { return r < run.row; });
        const Run& run = *(after - 1);
        return run.id + static_cast<std::int64_t>(row - run.row);
    }
};

/// The filled part of a segment.
struct Piece {
    std::shared_ptr<const Segment> segment;
    std::size_t first = 0;  ///< number of its first row, a multiple of 64
    std::size_t rows = 0;
    std::int64_t last_id = -1;  ///< of its last row
    /// A copy of the last block if it is not full: a writer may be filling the original, and
    /// kernels read whole blocks.
    std::shared_ptr<const std::vector<std::uint8_t>> open_block;

    const std::uint8_t* codes() const { return segment->codes->data(); }
    /// Calls f(codes, base, begin, end) for the parts of rows [begin, end): the rows lie at
    /// [begin - base, end - base) of `codes`, and base is a multiple of 64.
    template <class F>
    void parts(std::size_t begin, std::size_t end, F&& f) const {
        const std::size_t whole = open_block ? rows / kBlockRows * kBlockRows : rows;
        if (begin < whole) f(codes(), std::size_t{0}, begin, std::min(end, whole));
        if (end > whole) f(open_block->data(), whole, std::max(begin, whole), end);
    }
    std::int64_t id(std::size_t local) const { return segment->id(local); }
    /// Calls f(begin, end, id) for the rows [begin, end) of each run, whose ids count up from `id`.
    template <class F>
    void for_each_run(F&& f) const {
        const std::vector<Run>& runs = segment->runs;
        if (runs.empty()) return f(std::size_t{0}, rows, segment->id_base);
        for (std::size_t r = 0; r < runs.size(); ++r)
            f(runs[r].row, r + 1 < runs.size() ? runs[r + 1].row : rows, runs[r].id);
    }
};

class IdMap;
class Sublinear;

struct Snapshot {
    Layout layout;
    std::vector<Piece> pieces;
    std::size_t live = 0;  ///< rows that are not removed
    std::size_t span = 0;  ///< one past the last row number
    std::int64_t next_id = 0;
    bool ascending = true;                ///< ids rise with the row number
    std::shared_ptr<const Bitmap> alive;  ///< null while nothing was removed
    std::shared_ptr<const Sublinear> sublinear;
    /// The runs of all pieces, by rising id; no two share an id, removed ones included.
    std::shared_ptr<const std::vector<Run>> runs;
    std::shared_ptr<IdMap> id_map;         ///< one for all snapshots of a generation
    std::shared_ptr<const Segment> spare;  ///< memory that is reserved for the next rows
    std::uint64_t version = 0;             ///< counts changes
    std::uint64_t generation = 0;          ///< counts renumberings of the rows

    /// Rows in all pieces, removed ones too.
    std::size_t rows() const {
        std::size_t total = 0;
        for (const Piece& piece : pieces) total += piece.rows;
        return total;
    }
    const Piece& piece_of(std::size_t row) const {
        auto it = std::upper_bound(pieces.begin(), pieces.end(), row,
                                   [](std::size_t r, const Piece& p) { return r < p.first; });
        return *(it - 1);
    }
    std::int64_t id(std::size_t row) const {
        const Piece& piece = piece_of(row);
        return piece.id(row - piece.first);
    }
    /// The row of an id that lies in a run, removed or not; else kNoRow.
    std::size_t row_in_runs(std::int64_t id) const {
        if (!runs) return kNoRow;
        const auto after =
            std::upper_bound(runs->begin(), runs->end(), id,
                             [](std::int64_t i, const Run& run) { return i < run.id; });
        if (after == runs->begin()) return kNoRow;
        const Run& run = *(after - 1);
        const std::size_t row = run.row + static_cast<std::size_t>(id - run.id);
        if (row >= span) return kNoRow;
        const Piece& piece = piece_of(row);
        const std::size_t local = row - piece.first;
        const bool there = local < piece.rows && !piece.segment->ids && piece.id(local) == id;
        return there ? row : kNoRow;
    }
    bool is_alive(std::size_t row) const { return !alive || test_bit(alive->data(), row); }

    /// Calls f(row, piece, local row) for each live row, in row order.
    template <class F>
    void for_each_live(Stop& stop, F&& f) const {
        for (const Piece& piece : pieces)
            in_steps(piece.rows, 16384, stop, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i)
                    if (is_alive(piece.first + i)) f(piece.first + i, piece, i);
            });
    }
    template <class F>
    void for_each_live(F&& f) const {
        for_each_live(Stop::never(), std::forward<F>(f));
    }
    /// Calls f(codes, row, count) for live rows that lie one behind the other, in row order: they
    /// are rows [row, row + count) of `codes`.
    template <class F>
    void for_each_live_run(Stop& stop, F&& f) const {
        for (const Piece& piece : pieces)
            piece.parts(0, piece.rows,
                        [&](const std::uint8_t* codes, std::size_t base, std::size_t begin,
                            std::size_t end) {
                            in_steps(end - begin, 16384, stop,
                                     [&](std::size_t first, std::size_t last) {
                                         std::size_t i = begin + first, run = i;
                                         for (last += begin; i < last; i = run) {
                                             while (i < last && !is_alive(piece.first + i)) ++i;
                                             run = alive ? i : last;
                                             while (run < last && is_alive(piece.first + run))
                                                 ++run;
                                             if (run > i) f(codes, i - base, run - i);
                                         }
                                     });
                        });
    }
};

}  // namespace dsah
