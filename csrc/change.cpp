#include "change.hpp"

#include <algorithm>
#include <limits>

#include "id_map.hpp"

namespace dsah {
namespace {

// Runs of fewer rows than this, or than this part of all rows, do not get a piece of their own:
// their ids are stored. Every change copies the list of pieces.
constexpr std::size_t kRowsWorthPiece = 4096, kPartWorthPiece = 4096;
constexpr std::size_t kStoredAtFirst = 4096;  // ids that the first memory for them has room for
constexpr std::size_t kLargestRoom = std::size_t{1} << 22;
constexpr std::size_t kRowsAtOnce = 65536;

std::shared_ptr<Segment> new_segment(const Layout& layout, std::size_t rows) {
    auto segment = std::make_shared<Segment>();
    segment->capacity = Layout::padded(rows);
    segment->codes = Memory::allocate(layout.size_bytes(rows));
    segment->writable = true;
    return segment;
}

/// Room for new rows: a quarter of what is there, so that a growing index has few pieces.
std::size_t usual_room(const Snapshot& next) {
    return std::min(next.span / 4, kLargestRoom);
}

/// Rows that can still come into this piece.
std::size_t room(const Piece& piece) {
    const Segment& segment = *piece.segment;
    if (!segment.writable) return 0;
    const std::size_t most = segment.ids ? segment.ids->size() / 8 : segment.capacity;
    return std::min(most, segment.capacity) - piece.rows;
}

/// Memory for new rows: what was reserved, or what the last piece leaves, if that is enough, else
/// new memory. What is left empty then is given back.
std::shared_ptr<Segment> segment_behind(Snapshot& next, std::size_t count) {
    const Layout& layout = next.layout;
    const auto spare = std::move(next.spare);
    next.spare = nullptr;
    if (!next.pieces.empty() && next.pieces.back().segment->writable) {
        const Piece& piece = next.pieces.back();
        auto& last = const_cast<Segment&>(*piece.segment);  // only the writer gets here
        const std::size_t used = Layout::padded(piece.rows), left = last.capacity - used;
        if (left >= count && !spare) {
            auto segment = std::make_shared<Segment>();
            segment->codes =
                Memory::view(last.codes, layout.size_bytes(used), layout.size_bytes(left));
            segment->capacity = left;
            segment->writable = true;
            return segment;
        }
        last.codes->shrink(layout.size_bytes(used));
        last.capacity = used;
    }
    if (spare && spare->capacity >= count) return std::make_shared<Segment>(*spare);
    return new_segment(layout, std::max(count, usual_room(next)));
}

/// Memory for the ids of new rows, likewise behind those that were stored last.
std::shared_ptr<Memory> ids_behind(Snapshot& next, std::size_t count) {
    std::size_t stored = 0;
    const Piece* last = nullptr;
    for (const Piece& piece : next.pieces) {
        if (!piece.segment->ids) continue;
        stored += piece.rows;
        last = &piece;
    }
    if (last && last->segment->writable) {
        Memory& ids = *last->segment->ids;
        const std::size_t used = 8 * last->rows;
        if (ids.size() - used >= 8 * count)
            return Memory::view(last->segment->ids, used, ids.size() - used);
        ids.shrink(used);
    }
    return Memory::allocate(8 *
                            std::max({count, kStoredAtFirst, std::min(stored / 4, kLargestRoom)}));
}

/// Whether no id of these runs lies in a run already, not even a removed one.
bool apart(const Snapshot& next, const std::vector<Run>& runs, std::size_t count) {
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const std::size_t end = r + 1 < runs.size() ? runs[r + 1].row : count;
        const auto last = runs[r].id + static_cast<std::int64_t>(end - runs[r].row) - 1;
        const auto at =
            std::lower_bound(next.runs->begin(), next.runs->end(), runs[r].id,
                             [](const Run& run, std::int64_t id) { return run.id < id; });
        if (at != next.runs->end() && at->id <= last) return false;
        if (next.row_in_runs(runs[r].id) != kNoRow) return false;
    }
    return true;
}

/// Whether ids are better stored one by one than kept as these runs. A piece of their own is for
/// runs that are long beside what is there.
bool better_stored(const Snapshot& next, const std::vector<Run>& runs, std::size_t count) {
    if (runs.empty()) return true;
    if (count >= std::max(kRowsWorthPiece, next.live / kPartWorthPiece)) return false;
    if (runs.size() > 1) return true;
    if (next.pieces.empty()) return false;
    const Piece& last = next.pieces.back();
    return !last.segment->ids || (room(last) >= count && !next.spare);
}

/// The piece for new rows: the last one if it can take them, else a new one. `runs` are those of
/// their ids; none if they must be stored.
Piece& piece_for(Snapshot& next, std::size_t count, const std::vector<Run>& runs) {
    Piece* last = next.pieces.empty() ? nullptr : &next.pieces.back();
    const bool continues =
        last && !last->segment->ids && runs.size() == 1 && last->last_id + 1 == runs[0].id;
    const bool stored = !continues && better_stored(next, runs, count);
    const bool fits = stored ? last && last->segment->ids : continues;
    if (fits && !next.spare && room(*last) >= count) return *last;

    auto segment = segment_behind(next, count);
    if (!stored)
        segment->keep_runs(runs);
    else if (!segment->ids)
        segment->ids = ids_behind(next, count);
    Piece piece;
    piece.segment = std::move(segment);
    piece.first = Layout::padded(next.span);
    note_runs(next, piece);
    next.pieces.push_back(std::move(piece));
    return next.pieces.back();
}

void copy_open_block(const Layout& layout, Piece& piece) {
    const std::size_t whole = piece.rows / kBlockRows * kBlockRows;
    piece.open_block = nullptr;
    if (whole == piece.rows) return;
    const std::uint8_t* block = piece.codes() + whole * layout.stride;
    piece.open_block =
        std::make_shared<const std::vector<std::uint8_t>>(block, block + layout.block_bytes());
}

}  // namespace

std::shared_ptr<Snapshot> empty_snapshot(const Layout& layout) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->layout = layout;
    snapshot->runs = std::make_shared<const std::vector<Run>>();
    snapshot->id_map = std::make_shared<IdMap>();
    return snapshot;
}

void note_runs(Snapshot& next, const Piece& piece) {
    if (piece.segment->ids) return;
    std::vector<Run> added;
    piece.for_each_run([&](std::size_t begin, std::size_t, std::int64_t id) {
        added.push_back({piece.first + begin, id});
    });
    const auto before = [](const Run& a, const Run& b) { return a.id < b.id; };
    std::sort(added.begin(), added.end(), before);
    auto all = std::make_shared<std::vector<Run>>();
    all->reserve(next.runs->size() + added.size());
    std::merge(next.runs->begin(), next.runs->end(), added.begin(), added.end(),
               std::back_inserter(*all), before);
    next.runs = std::move(all);
}

GivenIds::GivenIds(const std::int64_t* ids, std::size_t n, Stop& stop) : data(ids), count(n) {
    if (!ids) return;
    RunFinder finder(count);
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            if (ids[i] < 0 || ids[i] == std::numeric_limits<std::int64_t>::max())
                throw Error(Fault::usage,
                            "ids must be from 0 to 2**63 - 2, got " + std::to_string(ids[i]));
            rising = rising && (i == 0 || ids[i] > ids[i - 1]);
            largest = std::max(largest, ids[i]);
            finder.take(ids[i]);
        }
    });
    runs = std::move(finder).runs();
}

void reserve_rows(Snapshot& next, std::size_t rows) {
    next.spare = nullptr;
    if (rows == 0 || (!next.pieces.empty() && room(next.pieces.back()) >= rows)) return;
    rows = std::max(rows, usual_room(next));
    auto segment = new_segment(next.layout, rows);
    segment->ids = Memory::allocate(8 * rows);  // pages that nothing is written to cost nothing
    next.spare = std::move(segment);
}

void append(Snapshot& next, const std::uint8_t* packed, const GivenIds& ids, Stop& stop) {
    const std::size_t count = ids.count;
    if (count == 0) return;
    if (count > kMaxRows || Layout::padded(next.span) + count > kMaxRows)
        throw Error(Fault::usage, "one index holds at most " + std::to_string(kMaxRows) +
                                      " codes; compact() frees the places of removed ones");
    const std::int64_t first_id = ids.data ? ids.data[0] : next.next_id;
    const bool beyond = !ids.data || (ids.rising && first_id >= next.next_id);
    std::vector<Run> runs = ids.runs;
    if (!ids.data) runs.push_back({0, first_id});
    if (!beyond && !apart(next, runs, count)) runs.clear();
    Piece& piece = piece_for(next, count, runs);
    const Segment* segment = piece.segment.get();
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        next.layout.store(segment->codes->data(), piece.rows + begin,
                          packed + begin * next.layout.bytes, end - begin);
        if (!segment->ids) return;
        auto* out = reinterpret_cast<std::int64_t*>(segment->ids->data()) + piece.rows;
        for (std::size_t i = begin; i < end; ++i)
            out[i] = ids.data ? ids.data[i] : first_id + static_cast<std::int64_t>(i);
    });
    next.ascending = next.ascending && beyond;
    piece.rows += count;
    piece.last_id = piece.id(piece.rows - 1);
    copy_open_block(next.layout, piece);
    next.span = piece.first + piece.rows;
    next.live += count;
    const std::int64_t largest =
        ids.data ? ids.largest : first_id + static_cast<std::int64_t>(count) - 1;
    next.next_id = std::max(next.next_id, largest + 1);
    if (next.alive && next.alive->size() * 64 < next.span) {
        auto longer = std::make_shared<Bitmap>(*next.alive);
        longer->resize(next.span / 32 + 64, ~std::uint64_t{0});
        next.alive = std::move(longer);
    }
}

std::size_t bury(Snapshot& next, const std::vector<std::size_t>& rows, Stop& stop) {
    if (rows.empty()) return 0;
    auto alive = next.alive ? std::make_shared<Bitmap>(*next.alive)
                            : std::make_shared<Bitmap>(next.span / 64 + 1, ~std::uint64_t{0});
    std::size_t buried = 0;
    in_steps(rows.size(), kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            std::uint64_t& word = (*alive)[rows[i] / 64];
            const std::uint64_t bit = std::uint64_t{1} << rows[i] % 64;
            buried += (word & bit) != 0;
            word &= ~bit;
        }
    });
    next.alive = std::move(alive);
    next.live -= buried;
    return buried;
}

std::shared_ptr<Snapshot> compacted(const Snapshot& now, Stop& stop) {
    const Layout& layout = now.layout;
    auto next = empty_snapshot(layout);
    next->version = now.version;
    next->generation = now.generation + 1;
    next->next_id = now.next_id;
    next->spare = now.spare;
    if (now.live == 0) return next;
    RunFinder finder(now.live);
    std::int64_t last_id = -1;
    now.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        const std::int64_t id = piece.id(i);
        next->ascending = next->ascending && id > last_id;
        finder.take(id);
        last_id = id;
    });
    std::vector<Run> runs = std::move(finder).runs();
    auto segment = new_segment(layout, now.live);
    Piece piece;
    now.for_each_live_run(stop, [&](const std::uint8_t* codes, std::size_t row, std::size_t count) {
        layout.copy(segment->codes->data(), piece.rows, codes, row, count);
        piece.rows += count;
    });
    if (runs.empty()) {
        segment->ids = Memory::allocate(8 * now.live);
        auto* ids = reinterpret_cast<std::int64_t*>(segment->ids->data());
        now.for_each_live(
            stop, [&](std::size_t, const Piece& from, std::size_t i) { *ids++ = from.id(i); });
    } else {
        segment->keep_runs(std::move(runs));
    }
    piece.segment = std::move(segment);
    piece.last_id = last_id;
    copy_open_block(layout, piece);
    note_runs(*next, piece);
    next->live = next->span = piece.rows;
    next->pieces.push_back(std::move(piece));
    return next;
}

}  // namespace dsah
