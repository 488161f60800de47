#include "sublinear.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

namespace dsah {
namespace {

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

/// The first row of a group with an id above some.
const std::uint32_t* first_above(const Groups& groups, std::size_t group, const Snapshot& snapshot,
                                 std::int64_t above) {
    if (above < 0) return groups.begin(group);
    const auto before = [&](std::int64_t id, std::uint32_t row) { return id < snapshot.id(row); };
    return std::upper_bound(groups.begin(group), groups.end(group), above, before);
}

/// Rows of a group that are still there and have an id above some: only those fill up the k places
/// of a query, or a group of others would hide what lies behind it.
class LiveSizes : public UnitSizes {
  public:
    LiveSizes(const Groups& groups, const Snapshot& snapshot, const Bitmap* alive,
              std::int64_t above)
        : groups_(groups), snapshot_(snapshot), alive_(alive), above_(above) {}
    std::size_t size(std::int64_t unit, std::size_t cap) const override {
        const auto g = static_cast<std::size_t>(unit);
        const std::uint32_t* row = first_above(groups_, g, snapshot_, above_);
        if (!alive_) return std::min(static_cast<std::size_t>(groups_.end(g) - row), cap);
        std::size_t live = 0;
        for (; row != groups_.end(g) && live < cap; ++row) live += test_bit(alive_->data(), *row);
        return live;
    }

  private:
    const Groups& groups_;
    const Snapshot& snapshot_;
    const Bitmap* alive_;
    std::int64_t above_;
};

}  // namespace

bool Sublinear::has_tables(const Layout& layout, std::size_t units) {
    return MultiIndex::fits(layout, units);
}

bool Sublinear::worth_grouping(const Snapshot& snapshot, double distinct) {
    const std::uint32_t bits = snapshot.layout.bits;
    if (bits <= kFewBits && snapshot.live > std::size_t{4} << bits) return true;
    return distinct < kWorthShare;
}

Sublinear::Sublinear(const Snapshot& snapshot, unsigned threads, Stop& stop)
    : covered_(snapshot.span / kBlockRows * kBlockRows), alive_(snapshot.alive) {
    const auto start = std::chrono::steady_clock::now();
    const Snapshot rows = prefix(snapshot, covered_, stop);
    if (worth_grouping(rows)) groups_ = std::make_unique<Groups>(rows, threads, stop);
    const Snapshot& units = groups_ ? groups_->units() : rows;
    if (has_tables(units.layout, units.live))
        tables_ = std::make_unique<MultiIndex>(units, threads, stop);
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
        for (const std::uint32_t* row = first_above(*groups_, g, snapshot, above);
             row != groups_->end(g); ++row) {
            if (++seen % 16384 == 0) stop.check();
            if (!all_live && !snapshot.is_alive(*row)) continue;
            found.push(static_cast<std::uint32_t>(unit.distance), snapshot.id(*row));
            if (++given == found.k()) break;
        }
    }
}

void Sublinear::search(const Snapshot& snapshot, const Queries& queries, const Loops& loops,
                       double budget_ns, unsigned threads, Stop& stop, std::vector<TopK>& found,
                       std::vector<char>& given_up, Work& work) const {
    const bool all_live = snapshot.alive == alive_;
    std::vector<LiveSizes> sizes;
    std::vector<TopK> near;                      // units if grouped
    sizes.reserve(groups_ ? queries.count : 0);  // their places do not change
    for (std::size_t q = 0; groups_ && q < queries.count; ++q) {
        sizes.emplace_back(*groups_, snapshot, all_live ? nullptr : snapshot.alive.get(),
                           queries.above(q));
        near.emplace_back(found[q].k(), static_cast<std::uint32_t>(found[q].radius()), false,
                          &sizes.back());
        if (found[q].counting()) near.back().count_only();
    }
    given_up.assign(queries.count, 0);
    if (!tables_) {
        Queries of_units = queries;
        of_units.only_above = nullptr;  // these are ids of rows, not numbers of groups
        scan(groups_->units(), 0, of_units, nullptr, loops, threads, stop, near);
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
        if (found[q].counting())
            found[q].absorb(near[q], stop);
        else
            expand(snapshot, near[q].finish(stop), queries.above(q), found[q], stop);
    }
}

}  // namespace dsah
