#include "planner.hpp"

#include <algorithm>
#include <cmath>

#include "limits.hpp"
#include "locks.hpp"

namespace dsah {
namespace {

constexpr std::size_t kFewRows = 32768;     // a scan of so few takes microseconds anyway
constexpr std::size_t kSampleCodes = 2048;  // to foresee how full buckets are
constexpr std::size_t kSampleQueries = 16;
constexpr double kClearWin = 1.5;  // foreseen costs are rough
constexpr double kSearchesToPay = 5000;
constexpr double kBuildNsPerRow = 100;
constexpr std::size_t kMeasurable = 1 << 20;  // bytes; shorter scans measure overheads
constexpr std::size_t kMany = 32;             // queries that share the way of a batch
constexpr std::size_t kScansToTell = 128;     // of a batch, what one of many takes
constexpr double kFar = 4;                    // times as long as the other way, by a guess
constexpr double kShareToLearn = 1.0 / 64;    // of all time goes to the way that seems slower

std::vector<std::uint64_t> sample_codes(const Snapshot& snapshot) {
    std::vector<std::uint64_t> sample;
    const std::size_t step = std::max<std::size_t>(1, snapshot.live / kSampleCodes);
    std::uint64_t lanes[kMaxLanes];
    for (const Piece& piece : snapshot.pieces)
        for (std::size_t i = 0; i < piece.rows; i += step) {
            snapshot.layout.spread_row(piece.codes(), i, lanes);
            sample.push_back(lanes[0]);
        }
    return sample;
}

}  // namespace

std::size_t Goal::kind() const {
    if (bounded || k == kNoLimit) return (counts ? 128 : 64) + std::min(radius, 63u);
    return static_cast<std::size_t>(63 - __builtin_clzll(k | 1));
}

const Planner::Measured& Planner::scan_cost(const Goal& goal, bool many) const {
    const Costs& costs = costs_[goal.kind()];
    const Measured& own = many ? costs.among_many : costs.alone;
    return own.known ? own : many ? among_many_ : alone_;
}

double Planner::scan_ns(const Goal& goal, std::size_t bytes, std::size_t count) const {
    const auto sharing = static_cast<double>(std::max<std::size_t>(count, 1));
    const double per_byte =
        std::max<double>(scan_cost(goal, true).mean, scan_cost(goal, false).mean / sharing);
    return static_cast<double>(bytes) * per_byte;
}

void Planner::note_scan(const Goal& goal, std::size_t bytes, std::size_t count, double ns,
                        bool usual) {
    if (bytes < kMeasurable || (count > 2 && count < kMany)) return;
    const bool many = count >= kMany;
    const double per_byte = ns / static_cast<double>(bytes);
    const double value = many ? per_byte / static_cast<double>(count) : per_byte;
    Measured& general = many ? among_many_ : alone_;
    if (usual) {
        Costs& costs = costs_[goal.kind()];
        (many ? costs.among_many : costs.alone).note(value);
        if (!goal.bounded && goal.k != kNoLimit) general.note(value);
    } else if (!general.known) {
        general.mean = value;
    }
}

bool Planner::worth_building(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                             const std::vector<std::uint32_t>& radii, unsigned threads,
                             std::string& reason) {
    if (snapshot.live < kFewRows) {
        reason = "a scan of so few codes is fast";
        return false;
    }
    const Layout& layout = snapshot.layout;
    double share = distinct(snapshot);
    const bool grouped = Sublinear::worth_grouping(snapshot, share);
    if (!grouped) share = 1;
    if (grouped && layout.bits <= 16)
        share = std::min(share, std::ldexp(1.0, static_cast<int>(layout.bits)) /
                                    static_cast<double>(snapshot.live));
    const double scan = scan_ns(goal, snapshot.live * layout.stride, queries.count);
    const auto units = static_cast<std::size_t>(share * static_cast<double>(snapshot.live));
    double best = grouped ? scan_ns(goal, units * layout.stride, queries.count) : 1e18;
    if (Sublinear::has_tables(layout, units)) {
        const std::vector<std::uint64_t> sample = sample_codes(snapshot);
        // A query that would take longer is given up, and scanned alone.
        const double most = 2 * scan_ns(goal, snapshot.live * layout.stride, 1);
        double sum = 0;
        const std::size_t asked = std::min(queries.count, kSampleQueries);
        for (std::size_t i = 0; i < asked; ++i) {
            const std::size_t q = i * queries.count / asked;
            const Work work =
                MultiIndex::foresee(layout, units, queries.at(q)[0], radii[q], sample);
            sum += std::min(work.ns(), most);
        }
        const double mean = sum / static_cast<double>(asked);
        best = std::min(best, mean / Sublinear::lookers(queries.count, threads));
    }
    if (best * kClearWin > scan) {
        reason = "a scan is as fast for such codes";
        return false;
    }
    if ((scan - best) * kSearchesToPay < kBuildNsPerRow * static_cast<double>(snapshot.live)) {
        reason = "building would not pay";
        return false;
    }
    const std::size_t bytes = MultiIndex::expected_bytes(layout, units) + 32 * snapshot.live;
    if (Sublinear::has_tables(layout, units) && bytes > available_memory() / 2) {
        reason = "not enough free memory for tables";
        return false;
    }
    return true;
}

double Planner::distinct(const Snapshot& snapshot) {
    {
        const std::lock_guard<std::mutex> lock(publishing());
        if (sampled_.version == snapshot.version) return sampled_.distinct;
    }
    const double share = distinct_share(snapshot, Sublinear::kSample);
    const std::lock_guard<std::mutex> lock(publishing());
    sampled_ = {snapshot.version, share};
    return share;
}

Step Planner::next_step(const Goal& goal, std::size_t bytes, std::size_t count, std::size_t left,
                        unsigned threads) {
    Costs& costs = costs_[goal.kind()];
    const bool many = count >= kMany;
    const Step look{false, many ? std::min(left, kTries) : left};
    const Step scan{true, many ? std::min(left, kScansToTell) : left};
    if (!costs.look.known) return look;
    const double look_ns = costs.look.mean / Sublinear::lookers(count, threads);
    const double each_scan_ns = scan_ns(goal, bytes, count);
    const bool guessed = many && bytes >= kMeasurable && !costs.among_many.known;
    if (guessed && each_scan_ns < kFar * look_ns) return scan;
    const bool scans = each_scan_ns < look_ns;
    const Step& slower = scans ? look : scan;
    const double spent = costs.spent + std::min(look_ns, each_scan_ns) * static_cast<double>(left);
    const bool again = std::max(look_ns, each_scan_ns) * static_cast<double>(slower.queries) <
                       kShareToLearn * spent;
    costs.spent = again ? 0 : spent;
    return again ? slower : Step{scans, left};
}

void Planner::note_structures(const Goal& goal, std::size_t count, unsigned threads, double ns) {
    Measured& look = costs_[goal.kind()].look;
    // The first time nothing of them is in a cache, which many queries hardly notice.
    if (look.warm || count >= kMany) look.note(ns * Sublinear::lookers(count, threads));
    look.warm = true;
}

void Planner::forget_structures() {
    for (Costs& costs : costs_) {
        costs.look.known = costs.look.warm = false;
        costs.spent = 0;
    }
}

void Planner::remember(Plan plan) {
    const std::lock_guard<std::mutex> lock(publishing());
    std::swap(last_, plan);
}

Plan Planner::last() const {
    const std::lock_guard<std::mutex> lock(publishing());
    return last_;
}

}  // namespace dsah
