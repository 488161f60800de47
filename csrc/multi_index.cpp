#include "multi_index.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "pool.hpp"

namespace dsah {
namespace {

constexpr int kMaxFlips = 5;  // beyond this a scan is always cheaper
constexpr int kMinWidth = 8, kMaxWidth = 22;
constexpr double kHopeless = 1e18;
constexpr std::size_t kSlice = 1024;  // codes of a bucket checked with one limit
constexpr std::size_t kAhead = 8;     // buckets that are fetched while one is checked

double binomial(int n, int k) {
    double value = 1;
    for (int i = 0; i < k; ++i) value = value * (n - i) / (i + 1);
    return value;
}

/// All masks of `width` bits with exactly `count` set.
std::vector<std::uint32_t> masks(int width, int count) {
    std::vector<std::uint32_t> all;
    if (count == 0) return {0};
    if (count > width) return all;
    const std::uint64_t end = std::uint64_t{1} << width;
    for (std::uint64_t mask = (std::uint64_t{1} << count) - 1; mask < end;) {
        all.push_back(static_cast<std::uint32_t>(mask));
        const std::uint64_t low = mask & (~mask + 1), ripple = mask + low;  // next of equal weight
        mask = ripple | ((mask ^ ripple) >> 2) / low;
    }
    return all;
}

int ones(std::uint64_t x) {
    return __builtin_popcountll(x);
}

/// Whether x has at most `count` bits; a few steps, without asking for a population count.
bool at_most(std::uint64_t x, int count) {
    for (int i = 0; i < count && x; ++i) x &= x - 1;
    return count >= 0 && x == 0;
}

/// Flips with which table `t` of `count` is probed before all within `radius` are found; or -1.
int flips_needed(int radius, std::size_t t, std::size_t count) {
    const int left = radius - static_cast<int>(t);
    return left < 0 ? -1 : left / static_cast<int>(count);
}

}  // namespace

/// Cost of finding all within `radius` among `rows` uniform codes.
Work MultiIndex::uniform_work(const std::vector<Chunk>& chunks, double rows, int radius) {
    Work work;
    for (std::size_t t = 0; t < chunks.size(); ++t) {
        const int flips = flips_needed(radius, t, chunks.size());
        if (flips > kMaxFlips) return {kHopeless, kHopeless};
        double probes = 0;
        for (int f = 0; f <= flips; ++f) probes += binomial(chunks[t].width, f);
        work.probes += probes;
        work.candidates += probes * std::ldexp(rows, -chunks[t].width);
    }
    return work;
}

std::vector<MultiIndex::Chunk> MultiIndex::cut(const Layout& layout, std::size_t rows) {
    const int total = static_cast<int>(layout.bytes) * 8;
    const auto divide = [total](int count) {
        std::vector<Chunk> chunks;
        for (int j = 0, shift = 0; j < count; ++j) {
            const int width = (total - shift) / (count - j);
            chunks.push_back({shift, width});
            shift += width;
        }
        return chunks;
    };
    // Long chunks mean many look-ups, short ones full buckets. Take the number of chunks that is
    // cheapest where uniform codes would have their hundredth neighbour.
    const double n = static_cast<double>(rows);
    int radius = 0;
    for (double within = n * std::ldexp(1.0, -total); within < 100 && radius < total;)
        within += n * std::ldexp(binomial(total, ++radius), -total);
    std::vector<Chunk> best;
    double best_ns = std::numeric_limits<double>::infinity();
    for (int count = (total + kMaxWidth - 1) / kMaxWidth; count <= total / kMinWidth; ++count) {
        const std::vector<Chunk> chunks = divide(count);
        const double ns = uniform_work(chunks, n, radius).ns();
        if (best.empty() || ns < best_ns) {
            best = chunks;
            best_ns = ns;
        }
    }
    return best;
}

void MultiIndex::fill(Table& table, const Snapshot& rows, std::size_t total, Stop& stop) const {
    const Chunk chunk = table.chunk;
    const std::size_t buckets = std::size_t{1} << chunk.width;
    const auto code = [&](const Piece& piece, std::size_t i) {
        std::uint64_t lane = 0;
        std::memcpy(&lane, piece.codes() + i * layout_.stride, layout_.stride);
        return lane;
    };
    table.starts.assign(buckets + 1, 0);
    rows.for_each_live(stop, [&](std::size_t, const Piece& piece, std::size_t i) {
        ++table.starts[chunk.of(code(piece, i)) + 1];
    });
    for (std::size_t b = 0; b < buckets; ++b) table.starts[b + 1] += table.starts[b];
    stop.check();
    // A bucket may be read up to a whole block of 64 rows, hence the room behind the last.
    table.codes = Memory::allocate((total + kBlockRows) * layout_.stride);
    table.rows.resize(total);
    std::vector<std::uint32_t> at(table.starts.begin(), table.starts.end() - 1);
    rows.for_each_live(stop, [&](std::size_t row, const Piece& piece, std::size_t i) {
        const std::uint64_t lane = code(piece, i);
        const std::uint32_t place = at[chunk.of(lane)]++;
        std::memcpy(table.codes->data() + place * std::size_t{layout_.stride}, &lane,
                    layout_.stride);
        table.rows[place] = static_cast<std::uint32_t>(row);
    });
    for (int flips = 0; flips <= kMaxFlips; ++flips)
        table.flips.push_back(masks(chunk.width, flips));
}

MultiIndex::MultiIndex(const Snapshot& rows, unsigned threads, Stop& stop)
    : layout_(rows.layout), rows_(rows.live) {
    for (const Chunk& chunk : cut(layout_, rows_)) {
        tables_.emplace_back();
        tables_.back().chunk = chunk;
    }
    std::atomic<std::size_t> next{0};
    run_parallel(std::min<unsigned>(threads, static_cast<unsigned>(tables_.size())), stop,
                 [&](unsigned) {
                     for (std::size_t t; (t = next.fetch_add(1)) < tables_.size();)
                         fill(tables_[t], rows, rows_, stop);
                 });
}

/// Whether an earlier step met a code with this difference: a table before `table` with up to
/// `flips` flips in its chunk, or any table with fewer.
bool MultiIndex::found_earlier(std::uint64_t difference, std::size_t table, int flips) const {
    for (std::size_t t = 0; t < tables_.size(); ++t)
        if (at_most(tables_[t].chunk.of(difference), t < table ? flips : flips - 1)) return true;
    return false;
}

void MultiIndex::check_bucket(const Snapshot& rows, std::size_t t, std::uint64_t value, int flips,
                              std::uint64_t query, std::int64_t above, CollectFn collect,
                              TopK& found, Work& work) const {
    const Table& table = tables_[t];
    Hit hits[kSlice + kHitSlack];
    const std::size_t end = table.starts[value + 1];
    for (std::size_t start = table.starts[value]; start < end; start += kSlice) {
        const std::int64_t limit = found.limit();
        if (limit < 0) return;
        const std::size_t size = std::min(kSlice, end - start);
        work.candidates += static_cast<double>(size);
        const std::uint8_t* codes = table.codes->data() + start * layout_.stride;
        const std::size_t n = collect(layout_, codes, 0, size, &query,
                                      static_cast<std::uint32_t>(limit), nullptr, hits);
        for (std::size_t h = 0; h < n; ++h) {
            std::uint64_t code = 0;
            std::memcpy(&code, codes + hits[h].row * std::size_t{layout_.stride}, layout_.stride);
            if (found_earlier(code ^ query, t, flips)) continue;
            const std::size_t row = table.rows[start + hits[h].row];
            if (!rows.is_alive(row)) continue;
            const std::int64_t id = rows.id(row);
            if (id > above) found.push(hits[h].distance, id);
        }
    }
}

/// Asks for the start of a bucket before it is needed; the hardware follows longer ones itself.
void MultiIndex::Table::fetch(std::uint64_t value, std::size_t stride) const {
    const std::size_t start = starts[value] * stride;
    const std::size_t end = std::min(starts[value + 1] * stride, start + 8 * 64);
    for (std::size_t at = start; at < end; at += 64) __builtin_prefetch(codes->data() + at);
}

bool MultiIndex::search(const Snapshot& rows, std::uint64_t query, std::int64_t above,
                        CollectFn collect, double budget_ns, TopK& found, Work& work,
                        Stop& stop) const {
    const auto m = static_cast<std::int64_t>(tables_.size());
    const double start_ns = work.ns();
    for (int flips = 0; flips <= kMaxFlips; ++flips) {
        for (std::size_t t = 0; t < tables_.size(); ++t) {
            // Everything up to this distance has been found by the steps before this one.
            const std::int64_t complete = m * flips + static_cast<std::int64_t>(t) - 1;
            if (found.radius() <= complete || found.limit() < 0) return true;
            const Table& table = tables_[t];
            const std::vector<std::uint32_t>& masks = table.flips[static_cast<std::size_t>(flips)];
            Work step;
            step.probes = static_cast<double>(masks.size());
            step.candidates =
                step.probes * static_cast<double>(rows_) / std::ldexp(1.0, table.chunk.width);
            if (work.ns() - start_ns + step.ns() > budget_ns) return false;
            const std::uint64_t own = table.chunk.of(query);
            for (std::size_t i = 0; i < masks.size(); ++i) {
                if (i % 1024 == 0) stop.check();
                if (i + kAhead < masks.size()) table.fetch(own ^ masks[i + kAhead], layout_.stride);
                check_bucket(rows, t, own ^ masks[i], flips, query, above, collect, found, work);
            }
            work.probes += step.probes;
        }
    }
    return found.radius() < m * (kMaxFlips + 1);
}

Work MultiIndex::foresee(const Layout& layout, std::size_t rows, std::uint64_t query,
                         std::uint32_t radius, const std::vector<std::uint64_t>& sample) {
    const std::vector<Chunk> chunks = cut(layout, rows);
    Work work = uniform_work(chunks, static_cast<double>(rows), static_cast<int>(radius));
    if (sample.empty() || work.probes >= kHopeless) return work;
    // Learned codes crowd into few buckets, those near a query among them: ask the sample.
    work.candidates = 0;
    for (std::size_t t = 0; t < chunks.size(); ++t) {
        const int flips = flips_needed(static_cast<int>(radius), t, chunks.size());
        std::size_t near = 0;
        for (const std::uint64_t code : sample) near += ones(chunks[t].of(code ^ query)) <= flips;
        work.candidates += static_cast<double>(near) / static_cast<double>(sample.size()) *
                           static_cast<double>(rows);
    }
    return work;
}

std::size_t MultiIndex::expected_bytes(const Layout& layout, std::size_t rows) {
    return cut(layout, rows).size() * (rows * (layout.stride + 4) + (std::size_t{4} << 22));
}

std::size_t MultiIndex::bytes() const {
    std::size_t total = 0;
    for (const Table& table : tables_)
        total += table.codes->size() + 4 * (table.rows.size() + table.starts.size());
    return total;
}

}  // namespace dsah
