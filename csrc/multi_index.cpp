#include "multi_index.hpp"

#include <atomic>
#include <cmath>

#include "flips.hpp"

namespace dsah {
namespace {

constexpr std::uint32_t kFewestBits = 17;  // shorter codes are so few that a scan is fastest
constexpr double kHopeless = 1e18;
constexpr std::size_t kEntryBytes = 2 + 4 + 4;

int ones(std::uint32_t x) {
    return __builtin_popcount(x);
}

/// Flips with which table `t` of `count` is probed before all within `radius` are found; or -1.
int flips_needed(int radius, std::size_t t, std::size_t count) {
    const int left = radius - static_cast<int>(t);
    return left < 0 ? -1 : left / static_cast<int>(count);
}

}  // namespace

bool MultiIndex::fits(const Layout& layout) {
    return layout.flat() && layout.symbol_bits == 1 && layout.bits >= kFewestBits;
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
    const std::size_t words = buckets + 1 + rows_ * (cut.far.width ? 2 : 1);
    table.memory = Memory::allocate(4 * words + 2 * (rows_ + kSiftSlack));
    table.starts = reinterpret_cast<std::uint32_t*>(table.memory->data());
    table.rows = table.starts + buckets + 1;
    table.far = cut.far.width ? table.rows + rows_ : nullptr;
    table.near = reinterpret_cast<std::uint16_t*>(table.starts + words);
    rows.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        ++table.starts[cut.bucket.of(code(piece, i)) + 1];
    });
    for (std::size_t b = 0; b < buckets; ++b) table.starts[b + 1] += table.starts[b];
    stop.check();
    std::vector<std::uint32_t> at(table.starts, table.starts + buckets);
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
    return cuts(layout).size() * (rows * kEntryBytes + (std::size_t{4} << kMaxChunk));
}

std::size_t MultiIndex::bytes() const {
    std::size_t total = 0;
    for (const Table& table : tables_) total += table.memory->size();
    return total;
}

}  // namespace dsah
