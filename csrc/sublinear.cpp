#include "sublinear.hpp"

#include <atomic>
#include <chrono>
#include <mutex>

namespace dsah {
namespace {

constexpr std::size_t kSample = 65536;
constexpr double kWorthShare = 0.9;
constexpr std::uint32_t kFewBits = 16;  // of codes of which not many can exist

/// The rows below `covered`, a multiple of 64, as a snapshot.
Snapshot prefix(const Snapshot& snapshot, std::size_t covered, Stop& stop) {
    Snapshot part = snapshot;
    part.live = 0;
    while (!part.pieces.empty() && part.pieces.back().first >= covered) part.pieces.pop_back();
    for (Piece& piece : part.pieces) {
        piece.rows = std::min(piece.rows, covered - piece.first);
        if (piece.rows % kBlockRows == 0) piece.open_block = nullptr;
        if (!snapshot.alive) part.live += piece.rows;
    }
    if (snapshot.alive)
        part.for_each_live(stop, [&](std::size_t, const Piece&, std::size_t) { ++part.live; });
    part.span = std::min(part.span, covered);
    return part;
}

/// Rows of a group that are still there.
class LiveSizes : public UnitSizes {
  public:
    LiveSizes(const Groups& groups, const Bitmap* alive) : groups_(groups), alive_(alive) {}
    std::size_t size(std::int64_t unit, std::size_t cap) const override {
        const auto g = static_cast<std::size_t>(unit);
        const auto all = static_cast<std::size_t>(groups_.end(g) - groups_.begin(g));
        if (!alive_) return std::min(all, cap);
        std::size_t live = 0;
        for (const std::uint32_t* row = groups_.begin(g); row != groups_.end(g) && live < cap;
             ++row)
            live += test_bit(alive_->data(), *row);
        return live;
    }

  private:
    const Groups& groups_;
    const Bitmap* alive_;
};

}  // namespace

bool Sublinear::has_tables(const Layout& layout) {
    return MultiIndex::fits(layout);
}

bool Sublinear::worth_grouping(const Snapshot& snapshot) {
    const std::uint32_t bits = snapshot.layout.bits;
    if (bits <= kFewBits && snapshot.live > std::size_t{4} << bits) return true;
    return distinct_share(snapshot, kSample) < kWorthShare;
}

Sublinear::Sublinear(const Snapshot& snapshot, unsigned threads, Stop& stop)
    : covered_(snapshot.span / kBlockRows * kBlockRows), alive_(snapshot.alive) {
    const auto start = std::chrono::steady_clock::now();
    const Snapshot rows = prefix(snapshot, covered_, stop);
    if (worth_grouping(rows)) groups_ = std::make_unique<Groups>(rows, threads, stop);
    if (has_tables(snapshot.layout))
        tables_ = std::make_unique<MultiIndex>(groups_ ? groups_->units() : rows, threads, stop);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    build_seconds_ = spent.count();
}

std::size_t Sublinear::bytes() const {
    return (groups_ ? groups_->bytes() : 0) + (tables_ ? tables_->bytes() : 0);
}

std::size_t Sublinear::units() const {
    return groups_ ? groups_->count() : covered_;
}

/// Turns groups of identical codes into their rows, nearest first.
void Sublinear::expand(const Snapshot& snapshot, std::vector<Ranked> units, std::int64_t above,
                       TopK& found, Stop& stop) const {
    const bool all_live = snapshot.alive == alive_;
    std::size_t seen = 0;
    for (const Ranked& unit : units) {
        if (unit.distance > found.limit()) return;
        std::size_t given = 0;
        const auto g = static_cast<std::size_t>(unit.id);
        // Ids rise inside a group, so its first k live rows are all that can be wanted of it.
        for (const std::uint32_t* row = groups_->begin(g); row != groups_->end(g); ++row) {
            if (++seen % 16384 == 0) stop.check();
            if (!all_live && !snapshot.is_alive(*row)) continue;
            const std::int64_t id = snapshot.id(*row);
            if (id <= above) continue;
            found.push(static_cast<std::uint32_t>(unit.distance), id);
            if (++given == found.k()) break;
        }
    }
}

void Sublinear::search(const Snapshot& snapshot, const Queries& queries, const Loops& loops,
                       double budget_ns, unsigned threads, Stop& stop, std::vector<TopK>& found,
                       std::vector<char>& given_up, Work& work) const {
    const bool all_live = snapshot.alive == alive_;
    std::unique_ptr<LiveSizes> sizes;
    std::vector<TopK> near;  // units if grouped
    if (groups_) {
        sizes = std::make_unique<LiveSizes>(*groups_, all_live ? nullptr : snapshot.alive.get());
        for (const TopK& rows : found)
            near.emplace_back(rows.k(), static_cast<std::uint32_t>(rows.radius()), false,
                              sizes.get());
    }
    given_up.assign(queries.count, 0);
    if (!tables_) {
        scan(groups_->units(), 0, queries, nullptr, loops, threads, stop, near);
    } else {
        std::atomic<std::size_t> next{0};
        std::mutex adding;
        const std::size_t share = queries.count >= 16 * threads ? 8 : 1;
        const unsigned workers = lookers(queries.count, threads);
        run_parallel(workers, stop, [&](unsigned) {
            Work mine;
            for (std::size_t q0; (q0 = next.fetch_add(share)) < queries.count;)
                for (std::size_t q = q0; q < std::min(queries.count, q0 + share); ++q)
                    given_up[q] =
                        !tables_->search(groups_ ? groups_->units() : snapshot, queries.at(q)[0],
                                         groups_ ? -1 : queries.above(q), loops.sifter,
                                         budget_ns * workers,  // so many queries at a time
                                         groups_ ? near[q] : found[q], mine, stop);
            const std::lock_guard<std::mutex> lock(adding);
            work += mine;
        });
    }
    for (std::size_t q = 0; groups_ && q < queries.count; ++q) {
        if (given_up[q]) continue;
        stop.check();
        expand(snapshot, near[q].finish(stop), queries.above(q), found[q], stop);
    }
}

}  // namespace dsah
