#include "rows.hpp"

#include <algorithm>

namespace dsah {
namespace {
constexpr std::size_t kRowsAtOnce = 16384;
}  // namespace

std::vector<std::size_t> live_rows(const Snapshot& snapshot, std::size_t first, std::size_t count,
                                   std::size_t& next, Stop& stop) {
    std::vector<std::size_t> rows;
    std::size_t row = first, looked = 0;
    for (const Piece& piece : snapshot.pieces)
        for (row = std::max(row, piece.first); row < piece.first + piece.rows; ++row) {
            if (++looked % kRowsAtOnce == 0) stop.check();
            if (!snapshot.is_alive(row)) continue;
            if (rows.size() == count) {
                next = row;
                return rows;
            }
            rows.push_back(row);
        }
    next = snapshot.span;
    return rows;
}

void rows_by_id(const Snapshot& snapshot, std::uint32_t* rows, Stop& stop) {
    struct Named {
        std::int64_t id;
        std::uint32_t row;
    };
    std::vector<Named> named;
    named.reserve(snapshot.live);
    snapshot.for_each_live(stop, [&](std::size_t row, const Piece& piece, std::size_t i) {
        named.push_back({piece.id(i), static_cast<std::uint32_t>(row)});
    });
    const auto less = [](const Named& a, const Named& b) { return a.id < b.id; };
    if (!snapshot.ascending) stoppable_sort(named.begin(), named.end(), less, stop);
    in_steps(named.size(), kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) rows[i] = named[i].row;
    });
}

void copy_codes(const Snapshot& snapshot, const std::vector<std::size_t>& rows, std::uint8_t* codes,
                Stop& stop) {
    const Layout& layout = snapshot.layout;
    in_steps(rows.size(), kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            std::uint8_t* code = codes + i * layout.bytes;
            if (rows[i] == kNoRow) {
                std::fill(code, code + layout.bytes, std::uint8_t{0});
                continue;
            }
            const Piece& piece = snapshot.piece_of(rows[i]);
            layout.fetch(piece.codes(), rows[i] - piece.first, code);
        }
    });
}

void copy_ids(const Snapshot& snapshot, const std::vector<std::size_t>& rows, std::int64_t* ids,
              Stop& stop) {
    in_steps(rows.size(), kRowsAtOnce, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) ids[i] = snapshot.id(rows[i]);
    });
}

}  // namespace dsah
