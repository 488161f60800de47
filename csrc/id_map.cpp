#include "id_map.hpp"

#include <algorithm>

namespace dsah {

namespace {

/// Calls f(piece, local row) for the live rows whose ids are stored.
template <class F>
void for_each_stored(const Snapshot& snapshot, Stop& stop, F&& f) {
    for (const Piece& piece : snapshot.pieces)
        in_steps(piece.segment->ids ? piece.rows : 0, 16384, stop,
                 [&](std::size_t begin, std::size_t end) {
                     for (std::size_t i = begin; i < end; ++i)
                         if (snapshot.is_alive(piece.first + i)) f(piece, i);
                 });
}

bool stores_ids(const Snapshot& snapshot) {
    return std::any_of(snapshot.pieces.begin(), snapshot.pieces.end(),
                       [](const Piece& piece) { return piece.segment->ids != nullptr; });
}

}  // namespace

/// Only insertions change it, one thread at a time, so that readers need no lock.
class IdMap::Slots {
  public:
    /// Room for `rows` rows at half load.
    Slots(std::size_t rows, std::uint64_t since) : since_(since) {
        while (count_ < 2 * rows) count_ *= 2;
        memory_ = Memory::allocate(bytes());
    }
    std::size_t bytes() const { return count_ * sizeof(std::uint32_t); }
    bool has_room(std::size_t rows) const { return 2 * (used_ + rows) <= count_; }
    /// Rows below this are in; and of those, all that were alive in a snapshot of this version.
    std::size_t covered() const { return covered_.load(std::memory_order_acquire); }
    std::uint64_t since() const { return since_; }
    void cover(std::size_t span) { covered_.store(span, std::memory_order_release); }

    void insert(std::int64_t id, std::size_t row) {
        std::size_t at = home(id);
        while (load(at)) at = (at + 1) & (count_ - 1);
        __atomic_store_n(slots() + at, static_cast<std::uint32_t>(row + 1), __ATOMIC_RELAXED);
        ++used_;
    }

    /// Adds to `passed` the removed rows that it steps over.
    std::size_t find(const Snapshot& snapshot, std::int64_t id, std::size_t& passed) const {
        std::uint32_t slot;
        for (std::size_t at = home(id); (slot = load(at)) != 0; at = (at + 1) & (count_ - 1)) {
            const std::size_t row = slot - 1;
            // A reader's snapshot may be older than the map and not hold this row yet.
            if (row >= snapshot.span) continue;
            if (!snapshot.is_alive(row))
                ++passed;
            else if (snapshot.id(row) == id)
                return row;
        }
        return kNoRow;
    }
    void note_passed(std::size_t rows) const { passed_.fetch_add(rows, std::memory_order_relaxed); }
    /// Whether look-ups have stepped over so many removed rows that making the slots anew, without
    /// them, costs no more. An id that is replaced again and again leaves a row each time.
    bool worn() const { return passed_.load(std::memory_order_relaxed) > count_; }

  private:
    std::uint32_t* slots() const { return reinterpret_cast<std::uint32_t*>(memory_->data()); }
    std::uint32_t load(std::size_t at) const {
        return __atomic_load_n(slots() + at, __ATOMIC_RELAXED);
    }
    /// Fibonacci hashing: spreads runs of consecutive ids over the whole table.
    std::size_t home(std::int64_t id) const {
        std::uint64_t x = static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15u;
        x ^= x >> 32;
        return static_cast<std::size_t>(x) & (count_ - 1);
    }

    std::size_t count_ = 64;
    std::size_t used_ = 0;
    std::uint64_t since_;
    std::shared_ptr<Memory> memory_;
    std::atomic<std::size_t> covered_{0};
    mutable std::atomic<std::size_t> passed_{0};
};

std::shared_ptr<IdMap::Slots> IdMap::present() const {
    const std::lock_guard<std::mutex> lock(publishing());
    return slots_;
}

std::size_t IdMap::bytes() const {
    const auto slots = present();
    return slots ? slots->bytes() : 0;
}

/// Inserts the rows of the snapshot that are not covered yet; false if they need more room.
bool IdMap::extend(Slots& slots, const Snapshot& snapshot, Stop& stop) {
    const std::size_t covered = slots.covered();
    const auto first = [&](const Piece& piece) {
        if (!piece.segment->ids) return piece.rows;
        return std::min(piece.rows, covered > piece.first ? covered - piece.first : 0);
    };
    std::size_t added = 0;
    for (const Piece& piece : snapshot.pieces) added += piece.rows - first(piece);
    if (!slots.has_room(added)) return false;
    for (const Piece& piece : snapshot.pieces)
        in_steps(piece.rows - first(piece), 16384, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = first(piece) + begin; i < first(piece) + end; ++i)
                slots.insert(piece.id(i), piece.first + i);
        });
    slots.cover(snapshot.span);
    return true;
}

/// Slots that hold every live row of the snapshot.
std::shared_ptr<const IdMap::Slots> IdMap::up_to_date(const Snapshot& snapshot, Stop& stop) {
    const auto serves = [&](const std::shared_ptr<Slots>& slots) {
        return slots && slots->since() <= snapshot.version && slots->covered() >= snapshot.span &&
               !slots->worn();
    };
    auto slots = present();
    if (serves(slots)) return slots;
    const Hold hold(changing_, stop);
    slots = present();
    if (serves(slots)) return slots;
    // A snapshot from before the slots were last made anew gets some of its own.
    const bool outdated = slots && slots->since() > snapshot.version;
    const bool usable = slots && !outdated && !slots->worn();
    if (usable && extend(*slots, snapshot, stop)) return slots;
    // Anew, without what was removed by now, and with room to grow if it has grown before.
    std::size_t rows = 0;
    for_each_stored(snapshot, stop, [&](const Piece&, std::size_t) { ++rows; });
    auto fresh = std::make_shared<Slots>(slots ? 2 * rows : rows, snapshot.version);
    for_each_stored(snapshot, stop, [&](const Piece& piece, std::size_t i) {
        fresh->insert(piece.id(i), piece.first + i);
    });
    fresh->cover(snapshot.span);
    if (outdated) return fresh;
    const std::lock_guard<std::mutex> lock(publishing());
    slots_.swap(slots = fresh);
    return fresh;
}

std::vector<std::size_t> IdMap::find(const Snapshot& snapshot, const std::int64_t* ids,
                                     std::size_t count, Stop& stop) {
    std::vector<std::size_t> rows;  // grows in steps: writing many at once could not be stopped
    rows.reserve(count);
    const auto slots = stores_ids(snapshot) ? up_to_date(snapshot, stop) : nullptr;
    in_steps(count, 16384, stop, [&](std::size_t begin, std::size_t end) {
        std::size_t passed = 0;
        for (std::size_t i = begin; i < end; ++i) {
            std::size_t row = snapshot.row_in_runs(ids[i]);
            if (row != kNoRow && !snapshot.is_alive(row)) row = kNoRow;
            // An id that was removed from a run may have come back among the stored ones.
            if (row == kNoRow && slots) row = slots->find(snapshot, ids[i], passed);
            rows.push_back(row);
        }
        if (passed) slots->note_passed(passed);
    });
    return rows;
}

}  // namespace dsah
