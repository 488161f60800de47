#include "index.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "cores.hpp"

namespace dsah {
namespace {

constexpr std::size_t kMaxRows = UINT32_MAX - 1;  // hits and the id map name rows by 32 bits
constexpr std::size_t kRunWorthPiece = 4096;      // shorter runs of ids are stored one by one
constexpr std::size_t kLargestStep = std::size_t{1} << 22;

bool is_run(const std::int64_t* ids, std::size_t count) {
    for (std::size_t i = 1; i < count; ++i)
        if (ids[i] != ids[0] + static_cast<std::int64_t>(i)) return false;
    return true;
}

bool is_rising(const std::int64_t* ids, std::size_t count) {
    for (std::size_t i = 1; i < count; ++i)
        if (ids[i] <= ids[i - 1]) return false;
    return true;
}

}  // namespace

Index::Index(const Options& options)
    : layout_(options.bits, options.symbol_bits),
      kernel_(pick_kernel(options.isa)),
      collect_(kernel_.collect_for(layout_)),
      threads_(options.threads ? options.threads : available_cores()),
      sublinear_(options.sublinear) {
    auto first = std::make_shared<Snapshot>();
    first->layout = layout_;
    snapshot_ = std::move(first);
}

std::shared_ptr<const Snapshot> Index::snapshot() const {
    if (!verified_) {
        const std::lock_guard<std::mutex> once(verifying_);
        if (!verified_) unverified_->verify();
        verified_ = true;
    }
    const std::lock_guard<std::mutex> lock(snapshot_lock_);
    return snapshot_;
}

std::size_t Index::size() const {
    const std::lock_guard<std::mutex> lock(snapshot_lock_);
    return snapshot_->live;
}

void Index::publish(std::shared_ptr<Snapshot> next) {
    ++next->version;
    const std::lock_guard<std::mutex> lock(snapshot_lock_);
    snapshot_ = std::move(next);
}

void Index::reserve(std::size_t rows) {
    const std::lock_guard<std::mutex> writer(writing_);
    if (rows > kMaxRows)
        throw Error(Fault::usage, "reserve(" + std::to_string(rows) + "): at most " +
                                      std::to_string(kMaxRows) + " codes fit one index");
    reserved_ = rows;
}

/// The last segment if it can take these rows, else a new one behind it.
Segment* Index::segment_for(Snapshot& next, std::size_t count, bool with_ids,
                            std::int64_t first_id) {
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
    segment->capacity = Layout::padded(std::max({count, step, reserved_, std::size_t{256}}));
    segment->codes = Memory::allocate(layout_.size_bytes(segment->capacity));
    if (with_ids) segment->ids = Memory::allocate(segment->capacity * 8);
    segment->id_base = first_id;
    segment->writable = true;
    reserved_ = 0;
    Piece piece;
    piece.segment = segment;
    piece.first = Layout::padded(next.span);
    next.pieces.push_back(piece);
    return segment.get();
}

void Index::append(Snapshot& next, const std::uint8_t* packed, std::size_t count,
                   const std::int64_t* ids) {
    if (count == 0) return;
    if (count > kMaxRows || Layout::padded(next.span) + count > kMaxRows)
        throw Error(Fault::usage, "one index holds at most " + std::to_string(kMaxRows) +
                                      " codes; compact() frees the places of removed ones");
    const std::int64_t first_id = ids ? ids[0] : next.next_id;
    bool one_by_one = ids != nullptr;
    if (ids && is_run(ids, count)) {
        const bool fits = !next.pieces.empty() && !next.pieces.back().segment->ids &&
                          next.pieces.back().last_id + 1 == first_id;
        one_by_one = !fits && count < kRunWorthPiece;
    }
    Segment* segment = segment_for(next, count, one_by_one, first_id);
    Piece& piece = next.pieces.back();
    layout_.store(segment->codes->data(), piece.rows, packed, count);
    if (segment->ids) {
        auto* out = segment->ids->data() + 8 * piece.rows;
        for (std::size_t i = 0; i < count; ++i, out += 8) {
            const std::int64_t id = ids ? ids[i] : first_id + static_cast<std::int64_t>(i);
            std::memcpy(out, &id, 8);
        }
    }
    const std::int64_t previous = next.next_id - 1;
    next.ascending = next.ascending && (!ids || (ids[0] > previous && is_rising(ids, count)));
    piece.rows += count;
    piece.last_id = piece.id(piece.rows - 1);
    copy_open_block(piece);
    next.span = piece.first + piece.rows;
    next.live += count;
    const std::int64_t largest =
        ids ? *std::max_element(ids, ids + count) : first_id + static_cast<std::int64_t>(count) - 1;
    next.next_id = std::max(next.next_id, largest + 1);
    if (next.alive && next.alive->size() * 64 < next.span) {
        auto longer = std::make_shared<Bitmap>(*next.alive);
        longer->resize(next.span / 32 + 64, ~std::uint64_t{0});
        next.alive = std::move(longer);
    }
}

void Index::copy_open_block(Piece& piece) const {
    const std::size_t whole = piece.rows / kBlockRows * kBlockRows;
    piece.open_block = nullptr;
    if (whole == piece.rows) return;
    const std::uint8_t* block = piece.codes() + whole * layout_.stride;
    piece.open_block =
        std::make_shared<const std::vector<std::uint8_t>>(block, block + layout_.block_bytes());
}

std::size_t Index::bury(Snapshot& next, const std::vector<std::size_t>& rows) {
    if (rows.empty()) return 0;
    auto alive = next.alive ? std::make_shared<Bitmap>(*next.alive)
                            : std::make_shared<Bitmap>(next.span / 64 + 1, ~std::uint64_t{0});
    std::size_t buried = 0;
    for (const std::size_t row : rows) {
        std::uint64_t& word = (*alive)[row / 64];
        const std::uint64_t bit = std::uint64_t{1} << row % 64;
        buried += (word & bit) != 0;
        word &= ~bit;
    }
    next.alive = std::move(alive);
    next.live -= buried;
    return buried;
}

std::size_t Index::add(const std::uint8_t* packed, std::size_t count, const std::int64_t* ids,
                       OnDuplicate on_duplicate) {
    const std::size_t dirty = layout_.first_dirty(packed, count);
    if (dirty < count)
        throw Error(Fault::code, "code " + std::to_string(dirty) +
                                     " has non-zero padding: the last " +
                                     std::to_string(layout_.bytes * 8 - layout_.bits) +
                                     " bits of its last byte must be zero (" +
                                     std::to_string(layout_.bits) + "-bit codes)");
    for (std::size_t i = 0; ids && i < count; ++i)
        if (ids[i] < 0)
            throw Error(Fault::usage,
                        "ids must be from 0 to 2**63 - 2, got " + std::to_string(ids[i]));
    const std::lock_guard<std::mutex> writer(writing_);
    const auto now = snapshot();
    auto next = std::make_shared<Snapshot>(*now);
    const auto room = std::numeric_limits<std::int64_t>::max() - next->next_id;
    const bool top =
        ids && std::find(ids, ids + count, std::numeric_limits<std::int64_t>::max()) != ids + count;
    if (top || (!ids && static_cast<std::uint64_t>(room) < count))
        throw Error(Fault::usage, "ids must be from 0 to 2**63 - 2");

    std::vector<std::uint8_t> kept_codes;
    std::vector<std::int64_t> kept_ids;
    std::vector<std::size_t> replaced;
    // Rising ids beyond all present ones need no look-up: nothing can be a duplicate.
    if (ids && count && !(ids[0] >= now->next_id && is_rising(ids, count))) {
        const IdMap& map = id_map(*now);
        std::unordered_map<std::int64_t, std::size_t> place;  // of each id in what is kept
        place.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = map.find(*now, ids[i]);
            const auto [it, fresh] = place.emplace(ids[i], kept_ids.size());
            const bool repeated = row != IdMap::kAbsent || !fresh;
            if (repeated && on_duplicate == OnDuplicate::raise)
                throw Error(Fault::usage,
                            "id " + std::to_string(ids[i]) +
                                (fresh ? " is already in the index" : " is given twice") +
                                "; on_duplicate may be 'raise', 'skip' or 'replace'");
            const std::uint8_t* code = packed + i * layout_.bytes;
            if (!repeated || (fresh && on_duplicate == OnDuplicate::replace)) {
                if (row != IdMap::kAbsent) replaced.push_back(row);
                kept_ids.push_back(ids[i]);
                kept_codes.insert(kept_codes.end(), code, code + layout_.bytes);
            } else if (on_duplicate == OnDuplicate::replace) {  // the last one given wins
                std::copy(
                    code, code + layout_.bytes,
                    kept_codes.begin() + static_cast<std::ptrdiff_t>(it->second * layout_.bytes));
            }
        }
        ids = kept_ids.data();
        packed = kept_codes.data();
        count = kept_ids.size();
    }
    if (count == 0) return 0;
    bury(*next, replaced);
    append(*next, packed, count, ids);
    const std::unique_lock<std::shared_mutex> map_writer(map_lock_);
    if (map_) map_->extend(*next, now->span);
    ++changes_;
    publish(std::move(next));
    return count;
}

std::size_t Index::remove(const std::int64_t* ids, std::size_t count) {
    const std::lock_guard<std::mutex> writer(writing_);
    const auto now = snapshot();
    std::vector<std::size_t> rows = rows_of(*now, ids, count);
    rows.erase(std::remove(rows.begin(), rows.end(), IdMap::kAbsent), rows.end());
    if (rows.empty()) return 0;
    auto next = std::make_shared<Snapshot>(*now);
    const std::size_t removed = bury(*next, rows);
    ++changes_;
    const std::unique_lock<std::shared_mutex> map_writer(map_lock_);
    publish(std::move(next));
    return removed;
}

void Index::compact() {
    const std::lock_guard<std::mutex> writer(writing_);
    const auto now = snapshot();
    if (!now->alive && now->pieces.size() <= 1) return;
    auto next = std::make_shared<Snapshot>();
    next->layout = layout_;
    next->version = now->version;
    next->generation = now->generation + 1;
    std::vector<std::uint8_t> code(layout_.bytes);
    auto segment = std::make_shared<Segment>();
    segment->capacity = Layout::padded(now->live);
    segment->codes = Memory::allocate(layout_.size_bytes(segment->capacity));
    segment->ids = Memory::allocate(segment->capacity * 8);
    std::size_t rows = 0;
    bool run = true;
    std::int64_t previous = -1;
    now->for_each_live([&](std::size_t, const Piece& piece, std::size_t i) {
        layout_.fetch(piece.codes(), i, code.data());
        layout_.store(segment->codes->data(), rows, code.data(), 1);
        const std::int64_t id = piece.id(i);
        std::memcpy(segment->ids->data() + 8 * rows, &id, 8);
        if (rows == 0) segment->id_base = id;
        run = run && id == segment->id_base + static_cast<std::int64_t>(rows);
        next->ascending = next->ascending && id > previous;
        previous = id;
        ++rows;
    });
    if (run) segment->ids = nullptr;
    segment->writable = true;
    if (rows) {
        Piece piece;
        piece.segment = segment;
        piece.rows = rows;
        piece.last_id = previous;
        copy_open_block(piece);
        next->pieces.push_back(piece);
    }
    next->live = next->span = rows;
    next->next_id = now->next_id;
    const std::unique_lock<std::shared_mutex> map_writer(map_lock_);
    map_.reset();
    publish(std::move(next));
}

void Index::adopt(const IndexFile& file, bool verified) {
    const std::lock_guard<std::mutex> writer(writing_);
    auto next = std::make_shared<Snapshot>(*snapshot());
    if (next->span) throw Error(Fault::usage, "adopt() needs an empty index");
    next->next_id = file.next_id;
    next->ascending = file.ascending;
    if (file.rows) {
        Piece piece;
        piece.segment = file.segment;
        piece.rows = file.rows;
        piece.last_id = piece.id(piece.rows - 1);
        next->live = next->span = piece.rows;
        next->pieces.push_back(std::move(piece));
    }
    if (!verified) {
        unverified_ = std::make_unique<const IndexFile>(file);
        verified_ = false;
    }
    publish(std::move(next));
}

const IdMap& Index::id_map(const Snapshot& snapshot) const {
    const std::unique_lock<std::shared_mutex> lock(map_lock_);
    if (!map_) map_ = std::make_unique<IdMap>(snapshot);
    return *map_;
}

std::vector<std::size_t> Index::rows_of(const Snapshot& snapshot, const std::int64_t* ids,
                                        std::size_t count) const {
    std::vector<std::size_t> rows(count, IdMap::kAbsent);
    // Where ids count up, the row follows from the id; only stored ids need the map.
    bool stored = false;
    for (const Piece& piece : snapshot.pieces) stored = stored || piece.segment->ids;
    if (!stored) {
        for (std::size_t i = 0; i < count; ++i)
            for (const Piece& piece : snapshot.pieces) {
                const std::int64_t local = ids[i] - piece.segment->id_base;
                if (local >= 0 && static_cast<std::size_t>(local) < piece.rows &&
                    snapshot.is_alive(piece.first + static_cast<std::size_t>(local)))
                    rows[i] = piece.first + static_cast<std::size_t>(local);
            }
        return rows;
    }
    {
        const std::unique_lock<std::shared_mutex> lock(map_lock_);
        if (!map_) map_ = std::make_unique<IdMap>(*this->snapshot());
    }
    const std::shared_lock<std::shared_mutex> lock(map_lock_);
    for (std::size_t i = 0; i < count; ++i) rows[i] = map_->find(snapshot, ids[i]);
    return rows;
}

AllowedRows Index::allowed(const Snapshot& snapshot, const std::int64_t* ids,
                           std::size_t count) const {
    AllowedRows allowed;
    allowed.bitmap.assign(snapshot.span / 64 + 1, 0);
    for (const std::size_t row : rows_of(snapshot, ids, count)) {
        if (row == IdMap::kAbsent || test_bit(allowed.bitmap.data(), row)) continue;
        allowed.bitmap[row / 64] |= std::uint64_t{1} << row % 64;
        allowed.list.push_back(row);
    }
    return allowed;
}

std::size_t Index::id_map_bytes() const {
    const std::shared_lock<std::shared_mutex> lock(map_lock_);
    return map_ ? map_->bytes() : 0;
}

}  // namespace dsah
