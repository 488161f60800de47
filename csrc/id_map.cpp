#include "id_map.hpp"

namespace dsah {
namespace {

/// Fibonacci hashing: spreads runs of consecutive ids over the whole table.
std::size_t slot_of(std::int64_t id, std::size_t slots) {
    std::uint64_t x = static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    return static_cast<std::size_t>(x) & (slots - 1);
}

}  // namespace

IdMap::IdMap(const Snapshot& snapshot) {
    rebuild(snapshot, snapshot.live);
}

void IdMap::rebuild(const Snapshot& snapshot, std::size_t rows) {
    std::size_t slots = 64;
    while (slots < 2 * rows) slots *= 2;
    slots_.assign(slots, 0);
    used_ = 0;
    snapshot.for_each_live(
        [&](std::size_t row, const Piece& piece, std::size_t i) { insert(piece.id(i), row); });
}

void IdMap::insert(std::int64_t id, std::size_t row) {
    std::size_t at = slot_of(id, slots_.size());
    while (slots_[at]) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = static_cast<std::uint32_t>(row + 1);
    ++used_;
}

std::size_t IdMap::find(const Snapshot& snapshot, std::int64_t id) const {
    for (std::size_t at = slot_of(id, slots_.size()); slots_[at];
         at = (at + 1) & (slots_.size() - 1)) {
        const std::size_t row = slots_[at] - 1;
        // A reader's snapshot may be older than the map and not hold this row yet.
        if (row < snapshot.span && snapshot.is_alive(row) && snapshot.id(row) == id) return row;
    }
    return kAbsent;
}

void IdMap::extend(const Snapshot& snapshot, std::size_t first) {
    std::size_t added = 0;
    for (const Piece& piece : snapshot.pieces)
        if (piece.first + piece.rows > first)
            added += piece.first + piece.rows - std::max(first, piece.first);
    if (2 * (used_ + added) > slots_.size()) return rebuild(snapshot, 2 * (snapshot.live + added));
    for (const Piece& piece : snapshot.pieces)
        for (std::size_t row = std::max(first, piece.first); row < piece.first + piece.rows; ++row)
            insert(piece.id(row - piece.first), row);
}

}  // namespace dsah
