#include "groups.hpp"

#include <algorithm>
#include <atomic>
#include <unordered_set>

#include "hash64.hpp"

namespace dsah {
namespace {

struct Entry {
    std::uint64_t key;  // the code itself if it has one lane, else its hash
    std::int64_t id;    // here, not looked up: of few codes it is compared very often
    std::uint32_t row;
};

constexpr std::size_t kParts = 1024;

std::uint64_t key_of(const Snapshot& snapshot, const Piece& piece, std::size_t local) {
    std::uint64_t lanes[kMaxLanes];
    snapshot.layout.spread_row(piece.codes(), local, lanes);
    if (snapshot.layout.flat()) return lanes[0];
    return Hash64::of(lanes, 8 * snapshot.layout.lanes());
}

std::size_t part_of(std::uint64_t key) {
    return (key * 0x9E3779B97F4A7C15u) >> 54;
}

/// Three-way order of two rows' codes, for codes that only share a hash.
int compare_codes(const Snapshot& snapshot, std::uint32_t a, std::uint32_t b) {
    std::uint64_t x[kMaxLanes], y[kMaxLanes];
    const Piece &p = snapshot.piece_of(a), &q = snapshot.piece_of(b);
    snapshot.layout.spread_row(p.codes(), a - p.first, x);
    snapshot.layout.spread_row(q.codes(), b - q.first, y);
    return std::memcmp(x, y, 8 * snapshot.layout.lanes());
}

/// Sorts entries of one key by (code, id). Only a collision of hashes gives them several codes.
void part_codes(const Snapshot& snapshot, Entry* begin, Entry* end, Stop& stop) {
    std::size_t compared = 0;
    const bool one_code = std::all_of(begin, end, [&](const Entry& entry) {
        if (++compared % 16384 == 0) stop.check();
        return compare_codes(snapshot, begin->row, entry.row) == 0;
    });
    if (one_code) return;
    const auto before = [&](const Entry& a, const Entry& b) {
        const int order = compare_codes(snapshot, a.row, b.row);
        return order ? order < 0 : a.id < b.id;
    };
    stoppable_sort(begin, end, before, stop);
}

/// All live rows, cut into parts by a hash of their code, each part sorted by (code, id).
std::shared_ptr<Memory> sorted_entries(const Snapshot& snapshot, unsigned threads, Stop& stop) {
    std::vector<std::size_t> starts(kParts + 1, 0);
    snapshot.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        ++starts[part_of(key_of(snapshot, piece, i)) + 1];
    });
    for (std::size_t p = 0; p < kParts; ++p) starts[p + 1] += starts[p];
    // Not a vector, which would first write zeros to all of it: that could not be stopped.
    const auto memory = Memory::allocate(snapshot.live * sizeof(Entry));
    auto* entries = reinterpret_cast<Entry*>(memory->data());
    std::vector<std::size_t> part_ends(starts.begin(), starts.end() - 1);
    snapshot.for_each_live(stop, [&](std::size_t row, const Piece& piece, std::size_t i) {
        const std::uint64_t key = key_of(snapshot, piece, i);
        entries[part_ends[part_of(key)]++] = {key, piece.id(i), static_cast<std::uint32_t>(row)};
    });
    const auto before = [](const Entry& a, const Entry& b) {
        return a.key != b.key ? a.key < b.key : a.id < b.id;
    };
    std::atomic<std::size_t> next{0};
    run_parallel(threads, stop, [&](unsigned) {
        for (std::size_t p; (p = next.fetch_add(1)) < kParts;) {
            stop.check();
            Entry *begin = entries + starts[p], *end = entries + starts[p + 1];
            // Equal codes fall into one part: it may hold all of them.
            stoppable_sort(begin, end, before, stop);
            if (snapshot.layout.flat()) continue;  // the key is the code
            for (Entry* other; begin != end; begin = other) {
                const auto differs = [&](const Entry& entry) { return entry.key != begin->key; };
                other = std::find_if(begin, end, differs);
                part_codes(snapshot, begin, other, stop);
            }
        }
    });
    return memory;
}

}  // namespace

Groups::Groups(const Snapshot& snapshot, unsigned threads, Stop& stop) {
    const auto memory = sorted_entries(snapshot, threads, stop);
    const auto* entries = reinterpret_cast<const Entry*>(memory->data());
    const Layout& layout = snapshot.layout;
    rows_.reserve(snapshot.live);
    for (std::size_t i = 0; i < snapshot.live; ++i) {
        if (i % 65536 == 0) stop.check();
        const bool same =
            i && entries[i].key == entries[i - 1].key &&
            (layout.flat() || compare_codes(snapshot, entries[i].row, entries[i - 1].row) == 0);
        if (!same) offsets_.push_back(static_cast<std::uint32_t>(i));
        rows_.push_back(entries[i].row);
    }
    const std::size_t units = offsets_.size();
    offsets_.push_back(static_cast<std::uint32_t>(snapshot.live));
    offsets_.shrink_to_fit();

    auto segment = std::make_shared<Segment>();
    segment->capacity = Layout::padded(units);
    segment->codes = Memory::allocate(layout.size_bytes(units));
    std::vector<std::uint8_t> code(layout.bytes);
    for (std::size_t u = 0; u < units; ++u) {
        if (u % 65536 == 0) stop.check();
        const Piece& piece = snapshot.piece_of(rows_[offsets_[u]]);
        layout.fetch(piece.codes(), rows_[offsets_[u]] - piece.first, code.data());
        layout.store(segment->codes->data(), u, code.data(), 1);
    }
    Piece piece;
    piece.segment = std::move(segment);
    piece.rows = units;
    units_.layout = layout;
    units_.pieces.push_back(std::move(piece));
    units_.live = units_.span = units;
}

std::size_t Groups::bytes() const {
    return 4 * (offsets_.size() + rows_.size()) + units_.pieces[0].segment->codes->size();
}

double distinct_share(const Snapshot& snapshot, std::size_t sample) {
    if (snapshot.live == 0) return 1;
    const std::size_t step = std::max<std::size_t>(1, snapshot.live / sample);
    std::unordered_set<std::uint64_t> distinct;
    std::size_t seen = 0;
    for (const Piece& piece : snapshot.pieces)
        for (std::size_t i = 0; i < piece.rows; i += step)
            if (snapshot.is_alive(piece.first + i)) {
                distinct.insert(key_of(snapshot, piece, i));
                ++seen;
            }
    return seen ? static_cast<double>(distinct.size()) / static_cast<double>(seen) : 1;
}

}  // namespace dsah
