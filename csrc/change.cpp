#include "change.hpp"

#include <algorithm>
#include <limits>

#include "id_map.hpp"

namespace dsah {
namespace {

constexpr std::size_t kRunWorthPiece = 4096;  // shorter runs of ids are stored one by one
constexpr std::size_t kLargestStep = std::size_t{1} << 22;
constexpr std::size_t kRowsAtOnce = 65536;

/// The last segment if it can take these rows, else a new one behind it.
Segment* segment_for(Snapshot& next, std::size_t count, bool with_ids, std::int64_t first_id,
                     std::size_t reserved) {
    if (!next.pieces.empty()) {
        const Piece& last = next.pieces.back();
        const Segment& segment = *last.segment;
        const bool continues = !segment.ids && !with_ids &&
                               segment.id_base + static_cast<std::int64_t>(last.rows) == first_id;
        if (segment.writable && segment.capacity - last.rows >= count && (segment.ids || continues))
            return const_cast<Segment*>(&segment);  // only the writer gets here
    }
    const std::size_t step = std::min(next.live / 2, kLargestStep);
    auto segment = std::make_shared<Segment>();
    segment->capacity = Layout::padded(std::max({count, step, reserved, std::size_t{256}}));
    segment->codes = Memory::allocate(next.layout.size_bytes(segment->capacity));
    if (with_ids) segment->ids = Memory::allocate(segment->capacity * 8);
    segment->id_base = first_id;
    segment->writable = true;
    Piece piece;
    piece.segment = segment;
    piece.first = Layout::padded(next.span);
    next.pieces.push_back(piece);
    return segment.get();
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
    snapshot->id_map = std::make_shared<IdMap>();
    return snapshot;
}

GivenIds::GivenIds(const std::int64_t* ids, std::size_t n, Stop& stop) : data(ids), count(n) {
    if (!ids) return;
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            if (ids[i] < 0 || ids[i] == std::numeric_limits<std::int64_t>::max())
                throw Error(Fault::usage,
                            "ids must be from 0 to 2**63 - 2, got " + std::to_string(ids[i]));
            if (i) {
                run = run && ids[i] == ids[i - 1] + 1;
                rising = rising && ids[i] > ids[i - 1];
            }
            largest = std::max(largest, ids[i]);
        }
    });
}

void append(Snapshot& next, const std::uint8_t* packed, const GivenIds& ids, std::size_t reserved,
            Stop& stop) {
    const std::size_t count = ids.count;
    if (count == 0) return;
    if (count > kMaxRows || Layout::padded(next.span) + count > kMaxRows)
        throw Error(Fault::usage, "one index holds at most " + std::to_string(kMaxRows) +
                                      " codes; compact() frees the places of removed ones");
    const std::int64_t first_id = ids.data ? ids.data[0] : next.next_id;
    bool one_by_one = ids.data != nullptr;
    if (ids.data && ids.run) {
        const bool fits = !next.pieces.empty() && !next.pieces.back().segment->ids &&
                          next.pieces.back().last_id + 1 == first_id;
        one_by_one = !fits && count < kRunWorthPiece;
    }
    Segment* segment = segment_for(next, count, one_by_one, first_id, reserved);
    Piece& piece = next.pieces.back();
    in_steps(count, kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        next.layout.store(segment->codes->data(), piece.rows + begin,
                          packed + begin * next.layout.bytes, end - begin);
        if (!segment->ids) return;
        auto* out = reinterpret_cast<std::int64_t*>(segment->ids->data()) + piece.rows;
        for (std::size_t i = begin; i < end; ++i)
            out[i] = ids.data ? ids.data[i] : first_id + static_cast<std::int64_t>(i);
    });
    next.ascending = next.ascending && (!ids.data || (ids.data[0] >= next.next_id && ids.rising));
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
    if (now.live == 0) return next;
    auto segment = std::make_shared<Segment>();
    segment->capacity = Layout::padded(now.live);
    segment->codes = Memory::allocate(layout.size_bytes(segment->capacity));
    segment->ids = Memory::allocate(segment->capacity * 8);
    segment->writable = true;
    auto* ids = reinterpret_cast<std::int64_t*>(segment->ids->data());
    std::vector<std::uint8_t> code(layout.bytes);
    std::size_t rows = 0;
    bool run = true;
    now.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        layout.fetch(piece.codes(), i, code.data());
        layout.store(segment->codes->data(), rows, code.data(), 1);
        ids[rows] = piece.id(i);
        if (rows) {
            run = run && ids[rows] == ids[rows - 1] + 1;
            next->ascending = next->ascending && ids[rows] > ids[rows - 1];
        }
        ++rows;
    });
    Piece piece;
    piece.rows = rows;
    piece.last_id = ids[rows - 1];
    segment->id_base = ids[0];
    if (run) segment->ids = nullptr;
    piece.segment = std::move(segment);
    copy_open_block(layout, piece);
    next->pieces.push_back(std::move(piece));
    next->live = next->span = rows;
    return next;
}

}  // namespace dsah
