#include "multi_index.hpp"

#include <atomic>
#include <cmath>

#include "flips.hpp"

namespace dsah {
namespace {

constexpr std::uint32_t kFewestBits = 17;   // shorter codes are so few that a scan is fastest
constexpr std::size_t kMostRows = 1 << 30;  // with the places left free, Bounds can tell 2^31
constexpr double kHopeless = 1e18;
constexpr std::size_t kLineEntries = 32;  // of two bytes in a line of the cache
constexpr std::size_t kRoomy = 8;         // entries per bucket from which on they are aligned

int ones(std::uint32_t x) {
    return __builtin_popcount(x);
}

/// Flips with which table `t` of `count` is probed before all within `radius` are found; or -1.
int flips_needed(int radius, std::size_t t, std::size_t count) {
    const int left = radius - static_cast<int>(t);
    return left < 0 ? -1 : left / static_cast<int>(count);
}

/// Buckets of about half a line of the cache or more begin where they take as few lines as
/// possible; of smaller ones a line holds many anyway, and places left free would be most of the
/// table.
std::uint32_t unit_of(std::size_t rows, int width) {
    return rows >> width < kRoomy ? 0 : 4;
}

/// Where a bucket of `count` entries may begin, not before `place`.
std::size_t first_place(std::size_t place, std::size_t count, std::uint32_t unit) {
    const std::size_t step = std::size_t{1} << unit;
    place = (place + step - 1) / step * step;
    const bool splits = place % kLineEntries + count > kLineEntries && count <= kLineEntries;
    return unit && splits ? place + step : place;
}

}  // namespace

bool MultiIndex::fits(const Layout& layout, std::size_t rows) {
    return layout.flat() && layout.symbol_bits == 1 && layout.bits >= kFewestBits &&
           rows <= kMostRows;
}

/// The padding is the low bits of the last byte, where they would waste bits of a chunk.
std::uint64_t MultiIndex::without_padding(const Layout& layout, std::uint64_t lane) {
    const std::uint32_t spare = 8 * layout.bytes - layout.bits, at = 8 * (layout.bytes - 1);
    if (!spare) return lane;
    const std::uint64_t low = (std::uint64_t{1} << at) - 1;
    return (lane & low) | (lane >> spare & ~low);
}

/// In the order in which the tables are probed: the first chunk of each half, then the second.
std::vector<MultiIndex::Cut> MultiIndex::cuts(const Layout& layout) {
    const auto divide = [](Part whole, bool first) {
        const int width = whole.width / 2;
        return first ? Part{whole.shift, width} : Part{whole.shift + width, whole.width - width};
    };
    const Part code{0, static_cast<int>(layout.bits)};
    std::vector<Cut> cuts;
    const std::uint32_t halves = layout.bits <= 2 * kMaxChunk ? 1 : 2;
    for (std::uint32_t chunk = 0; chunk < 2; ++chunk)
        for (std::uint32_t half = 0; half < halves; ++half) {
            const Part whole = halves == 1 ? code : divide(code, half == 0);
            const Part far = halves == 1 ? Part{0, 0} : divide(code, half == 1);
            cuts.push_back(
                {divide(whole, chunk == 0), divide(whole, chunk == 1), far, half, chunk});
        }
    return cuts;
}

void MultiIndex::fill(Table& table, const Snapshot& rows, Stop& stop) const {
    const Cut cut = table.cut;
    const std::size_t buckets = std::size_t{1} << cut.bucket.width;
    const auto code = [&](const Piece& piece, std::size_t i) {
        std::uint64_t lane = 0;
        std::memcpy(&lane, piece.codes() + i * layout_.stride, layout_.stride);
        return without_padding(layout_, lane);
    };
    std::vector<std::uint32_t> at(buckets);  // of each bucket: its size, then its next place
    rows.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        ++at[cut.bucket.of(code(piece, i))];
    });
    const std::uint32_t unit = unit_of(rows_, cut.bucket.width);
    std::vector<std::uint32_t> words(buckets + 1);
    std::size_t place = 0;
    for (std::size_t b = 0; b < buckets; ++b) {
        words[b] |= static_cast<std::uint32_t>(place >> unit) << Bounds::kFreeBits;
        const std::size_t end = place + at[b];
        at[b] = static_cast<std::uint32_t>(place);
        place = first_place(end, b + 1 < buckets ? at[b + 1] : 0, unit);
        words[b] |= static_cast<std::uint32_t>(place - end);
    }
    words[buckets] = static_cast<std::uint32_t>(place >> unit) << Bounds::kFreeBits;
    stop.check();
    place = (place + kLineEntries - 1) / kLineEntries * kLineEntries;
    const std::size_t bytes = place * entry_bytes(cut);
    table.memory = Memory::allocate(bytes + 4 * words.size());
    table.near = reinterpret_cast<std::uint16_t*>(table.memory->data());
    auto* quads = reinterpret_cast<std::uint32_t*>(table.near + place);
    table.far = cut.far.width ? quads : nullptr;
    table.rows = cut.far.width ? quads + place : quads;
    std::copy(words.begin(), words.end(), table.rows + place);
    table.bounds = {table.rows + place, unit};
    rows.for_each_live(stop, [&](std::size_t row, const Piece& piece, std::size_t i) {
        const std::uint64_t bits = code(piece, i);
        const std::uint32_t place = at[cut.bucket.of(bits)]++;
        table.near[place] = static_cast<std::uint16_t>(cut.near.of(bits));
        if (table.far) table.far[place] = cut.far.of(bits);
        table.rows[place] = static_cast<std::uint32_t>(row);
    });
}

MultiIndex::MultiIndex(const Snapshot& rows, unsigned threads, Stop& stop)
    : layout_(rows.layout), rows_(rows.live) {
    for (const Cut& cut : cuts(layout_)) {
        tables_.emplace_back();
        tables_.back().cut = cut;
    }
    std::atomic<std::size_t> next{0};
    run_parallel(std::min<unsigned>(threads, static_cast<unsigned>(tables_.size())), stop,
                 [&](unsigned) {
                     for (std::size_t t; (t = next.fetch_add(1)) < tables_.size();)
                         fill(tables_[t], rows, stop);
                 });
}

/// Cost of finding all within `radius` among `rows` uniform codes.
Work MultiIndex::uniform_work(const std::vector<Cut>& cuts, double rows, int radius) {
    Work work;
    for (std::size_t t = 0; t < cuts.size(); ++t) {
        const int flips = flips_needed(radius, t, cuts.size());
        if (flips > kMaxFlips) return {kHopeless, kHopeless};
        double probes = 0;
        for (int f = 0; f <= flips; ++f) probes += binomial(cuts[t].bucket.width, f);
        work.probes += probes;
        work.candidates += probes * std::ldexp(rows, -cuts[t].bucket.width);
    }
    return work;
}

Work MultiIndex::foresee(const Layout& layout, std::size_t rows, std::uint64_t query,
                         std::uint32_t radius, const std::vector<std::uint64_t>& sample) {
    const std::vector<Cut> all = cuts(layout);
    Work work = uniform_work(all, static_cast<double>(rows), static_cast<int>(radius));
    if (sample.empty() || work.probes >= kHopeless) return work;
    // Learned codes crowd into few buckets, those near a query among them: ask the sample.
    std::size_t near = 0;
    for (std::size_t t = 0; t < all.size(); ++t) {
        const int flips = flips_needed(static_cast<int>(radius), t, all.size());
        for (const std::uint64_t code : sample)
            near += ones(all[t].bucket.of(without_padding(layout, code ^ query))) <= flips;
    }
    work.candidates =
        static_cast<double>(near) / static_cast<double>(sample.size()) * static_cast<double>(rows);
    return work;
}

std::size_t MultiIndex::expected_bytes(const Layout& layout, std::size_t rows) {
    std::size_t bytes = 0;
    for (const Cut& cut : cuts(layout)) {
        const std::size_t buckets = std::size_t{1} << cut.bucket.width;
        const std::size_t free = unit_of(rows, cut.bucket.width) ? 12 * buckets : 0;
        bytes += (rows + free) * entry_bytes(cut) + 4 * buckets;
    }
    return bytes;
}

std::size_t MultiIndex::bytes() const {
    std::size_t total = 0;
    for (const Table& table : tables_) total += table.memory->size();
    return total;
}

}  // namespace dsah
