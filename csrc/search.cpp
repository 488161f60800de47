// The read side of the index: checks a request, picks a way to answer it, takes it.
#include <chrono>

#include "index.hpp"
#include "scan.hpp"
#include "weighted.hpp"

namespace dsah {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAtOnce = 8192;  // queries: bounds the memory that a large batch takes,
constexpr std::size_t kCollectorBytes = 16 << 20;  // and so do these, which should fit a cache
constexpr std::size_t kWorkerQueries = 256;        // fewer would not keep a worker busy

double ns_since(Clock::time_point start) {
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

Queries spread(const Layout& layout, const Request& request) {
    Queries queries;
    queries.count = request.count;
    queries.width = layout.lanes();
    queries.only_above = request.only_above;
    queries.lanes.resize(request.count * queries.width);
    for (std::size_t i = 0; i < request.count; ++i)
        layout.spread(request.queries + i * layout.bytes, queries.lanes.data() + i * queries.width);
    return queries;
}

/// One by one: copies of an empty collector would not keep the room made in each.
std::vector<TopK> collectors(std::size_t count, const Goal& goal, bool ascending) {
    std::vector<TopK> empty;
    empty.reserve(count);
    for (std::size_t q = 0; q < count; ++q) {
        empty.emplace_back(goal.k, goal.radius, ascending);
        if (goal.counts) empty.back().count_only();
    }
    return empty;
}

/// Queries that are answered together.
std::size_t at_once(const Goal& goal, unsigned threads) {
    const std::size_t bytes = TopK::expected_bytes(goal.k, goal.radius);
    const std::size_t fitting = std::max(kCollectorBytes / bytes, kWorkerQueries * threads);
    return std::min(fitting, kMostAtOnce);
}

/// Rows that are alive and allowed, or null where that is all of them.
const std::uint64_t* eligible(const Snapshot& snapshot, const Bitmap* allow, Bitmap& both) {
    if (!allow) return snapshot.alive ? snapshot.alive->data() : nullptr;
    if (!snapshot.alive) return allow->data();
    both = *allow;
    for (std::size_t i = 0; i < std::min(both.size(), snapshot.alive->size()); ++i)
        both[i] &= (*snapshot.alive)[i];
    return both.data();
}

}  // namespace

Request Request::part(std::size_t first, std::size_t most, const Layout& layout) const {
    Request some = *this;
    some.count = std::min(most, count - first);
    some.queries += first * layout.bytes;
    if (only_above) some.only_above += first;
    if (weights) some.weights += first * layout.bits;
    return some;
}

void Index::plain_scan(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                       const Bitmap* allow, std::size_t first_row, std::vector<TopK>& found,
                       Plan& plan, Stop& stop) {
    // Of the nearest, else nothing was dropped early.
    const bool usual = goal.k == kNoLimit || goal.bounded || reach_.known(goal.k);
    Bitmap both;
    const std::uint64_t* rows = eligible(snapshot, allow, both);
    const double start = busy_ns();
    scan(snapshot, first_row, queries, rows, loops_, threads_, stop, found);
    if (snapshot.span <= first_row) return;
    plan.scanned_rows += static_cast<double>((snapshot.span - first_row) * queries.count);
    if (!allow)
        planner_.note_scan(goal, (snapshot.span - first_row) * layout_.stride, queries.count,
                           busy_ns() - start, usual);
}

/// The k nearest by a scan that first looks as far as the latest answers reached.
std::vector<TopK> Index::scan_to_reach(const Snapshot& snapshot, const Goal& goal,
                                       const Queries& queries, Plan& plan, Stop& stop) {
    const std::size_t k = goal.k;
    Goal near = goal;
    near.radius = static_cast<std::uint32_t>(std::min<std::int64_t>(reach_.guess(k), goal.radius));
    std::vector<TopK> found = collectors(queries.count, near, snapshot.ascending);
    plain_scan(snapshot, goal, queries, nullptr, 0, found, plan, stop);
    if (near.radius < goal.radius) {
        std::vector<char> missed(queries.count);
        for (std::size_t q = 0; q < queries.count; ++q) missed[q] = !found[q].full();
        std::vector<std::int64_t> above;
        const Queries again = queries.select(missed, above);
        std::vector<TopK> whole = collectors(again.count, goal, snapshot.ascending);
        if (again.count) plain_scan(snapshot, goal, again, nullptr, 0, whole, plan, stop);
        for (std::size_t q = 0, w = 0; q < queries.count; ++q)
            if (missed[q]) found[q] = std::move(whole[w++]);
    }
    if (goal.bounded) return found;     // how far they would have reached is not known
    std::vector<std::int64_t> reached;  // by nearly all: asking a few again costs less than hits
    for (const TopK& answer : found) reached.push_back(answer.radius());
    const auto most = reached.begin() + static_cast<std::ptrdiff_t>(reached.size() * 31 / 32);
    std::nth_element(reached.begin(), most, reached.end());
    reach_.note(k, reach_.guess(k), *most);
    return found;
}

/// Only the rows that `allow` lists: gathered into a gallery of their own, then scanned.
void Index::listed_rows(const Snapshot& snapshot, const Queries& queries,
                        const std::vector<std::size_t>& rows, std::vector<TopK>& found,
                        Stop& stop) {
    auto segment = std::make_shared<Segment>();
    segment->codes = Memory::allocate(layout_.size_bytes(rows.size()));
    segment->ids = Memory::allocate(8 * rows.size());
    Piece piece;
    std::vector<std::uint8_t> code(layout_.bytes);
    in_steps(rows.size(), 16384, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const Piece& from = snapshot.piece_of(rows[i]);
            layout_.fetch(from.codes(), rows[i] - from.first, code.data());
            layout_.store(segment->codes->data(), piece.rows, code.data(), 1);
            const std::int64_t id = from.id(rows[i] - from.first);
            std::memcpy(segment->ids->data() + 8 * piece.rows++, &id, 8);
        }
    });
    if (piece.rows == 0) return;
    piece.segment = std::move(segment);
    Snapshot listed;
    listed.layout = layout_;
    listed.ascending = false;
    listed.live = listed.span = piece.rows;
    listed.pieces.push_back(std::move(piece));
    scan(listed, 0, queries, nullptr, loops_, threads_, stop, found);
}

Goal Index::goal_of(const Request& request, const Snapshot& snapshot) const {
    Goal goal;
    goal.k = request.k == kNoLimit ? kNoLimit : std::min(request.k, snapshot.live);
    goal.radius = std::min(request.radius, layout_.max_distance());
    goal.bounded = goal.radius < layout_.max_distance();
    goal.counts = request.count_only;
    return goal;
}

bool Index::may_use_structures(const Request& request) const {
    return sublinear_ && !request.allow;  // they know nothing of allowed rows
}

/// Structures for the covered rows, a scan for the rest and for queries that were given up.
void Index::through_structures(const Snapshot& snapshot, const Goal& goal, const Queries& queries,
                               std::vector<TopK>& found, Plan& plan, Stop& stop) {
    const Sublinear& structures = *snapshot.sublinear;
    const double before = busy_ns();
    std::vector<char> given_up;
    // What is left by a query that gives up is scanned without most of its company.
    const double alone = planner_.scan_ns(goal, snapshot.live * layout_.stride, 1);
    const double budget = std::min(alone, 4 * plan.expected_scan_ns);
    structures.search(snapshot, queries, loops_, budget, threads_, stop, found, given_up,
                      plan.work);
    const auto fallbacks = static_cast<std::size_t>(
        std::count(given_up.begin(), given_up.end(), static_cast<char>(1)));
    plan.fallbacks += fallbacks;
    if (fallbacks == 0) {
        const auto tail_start = Clock::now();
        plain_scan(snapshot, goal, queries, nullptr, structures.covered(), found, plan, stop);
        if (snapshot.span > structures.covered() + kBlockRows)
            rent_ns_ = rent_ns_ + ns_since(tail_start);
    } else {
        std::vector<std::int64_t> above;
        const Queries left = queries.select(given_up, above);
        std::vector<TopK> whole = collectors(left.count, goal, snapshot.ascending);
        plain_scan(snapshot, goal, left, nullptr, 0, whole, plan, stop);
        for (char& flag : given_up) flag = !flag;
        std::vector<std::int64_t> above_rest;
        const Queries rest = queries.select(given_up, above_rest);
        std::vector<TopK> tails;
        for (std::size_t q = 0; q < queries.count; ++q)
            if (given_up[q]) tails.push_back(std::move(found[q]));
        plain_scan(snapshot, goal, rest, nullptr, structures.covered(), tails, plan, stop);
        for (std::size_t q = 0, w = 0, t = 0; q < queries.count; ++q)
            found[q] = given_up[q] ? std::move(tails[t++]) : std::move(whole[w++]);
    }
    planner_.note_structures(goal, queries.count, threads_,
                             (busy_ns() - before) / static_cast<double>(queries.count));
}

std::vector<std::vector<Ranked>> Index::search(const Snapshot& asked, const Request& request,
                                               Stop& stop) {
    const auto start = Clock::now();
    const std::size_t dirty = layout_.first_dirty(request.queries, request.count);
    if (dirty < request.count)
        throw Error(Fault::code, "query " + std::to_string(dirty) + " has non-zero padding bits");
    std::vector<std::vector<Ranked>> results;
    results.reserve(request.count);
    Plan plan;
    plan.queries = request.count;
    std::shared_ptr<const Snapshot> newer;  // the same rows with structures beside them
    const Goal goal = goal_of(request, asked);
    const std::size_t bytes = asked.live * layout_.stride;
    const std::size_t most = at_once(goal, threads_);
    plan.expected_scan_ns = planner_.scan_ns(goal, bytes, request.count);
    while (results.size() < request.count) {
        const auto held = newer;
        const Snapshot& snapshot = held ? *held : asked;
        Step step{!snapshot.sublinear || !may_use_structures(request), most};
        if (!step.scan)
            step = planner_.next_step(goal, bytes, request.count, request.count - results.size(),
                                      threads_);
        const Request some = request.part(results.size(), std::min(step.queries, most), layout_);
        for (auto& result : answer(snapshot, goal, some, step.scan, plan, newer, stop))
            results.push_back(std::move(result));
    }
    plan.seconds = ns_since(start) * 1e-9;
    planner_.remember(std::move(plan));
    return results;
}

/// A part of a search, by a scan even where structures stand if so `scan_only`; `newer` becomes the
/// snapshot for the next part if this one built structures.
std::vector<std::vector<Ranked>> Index::answer(const Snapshot& asked, const Goal& goal,
                                               const Request& request, bool scan_only, Plan& plan,
                                               std::shared_ptr<const Snapshot>& newer, Stop& stop) {
    const Queries queries = spread(layout_, request);
    std::vector<std::vector<Ranked>> results(request.count);
    if (asked.live == 0 || goal.k == 0) {
        plan.path = "none";
        plan.reason = "there is nothing to find";
        return results;
    }

    const bool range = goal.k == kNoLimit;
    const bool may_use = may_use_structures(request);
    std::string why_not;  // structures were not built
    if (may_use && range && wants_look(asked, why_not))
        if (auto built =
                consider(asked, goal, queries,
                         std::vector<std::uint32_t>(queries.count, goal.radius), why_not, stop))
            newer = built;
    const std::shared_ptr<const Snapshot> holding = newer;
    const Snapshot& snapshot = holding ? *holding : asked;
    const bool skips = scan_only && may_use && snapshot.sublinear;
    std::vector<TopK> found;
    if (may_use && snapshot.sublinear && !skips) {
        plan.path = snapshot.sublinear->tables() ? "tables" : "groups";
        plan.reason = "they are there, and no scan was measured to be faster";
        found = collectors(request.count, goal, false);
        through_structures(snapshot, goal, queries, found, plan, stop);
    } else if (request.allow && request.allow->list.size() < snapshot.live / 32) {
        plan.path = "listed rows";
        plan.reason = "few rows are allowed";
        found = collectors(request.count, goal, false);
        listed_rows(snapshot, queries, request.allow->list, found, stop);
    } else {
        plan.path = "scan";
        if (skips)
            plan.reason = "a scan is faster for such searches, by measurement";
        else if (!sublinear_)
            plan.reason = "sublinear=False";
        else if (request.allow)
            plan.reason = "structures know nothing of allowed rows";
        if (range || request.allow) {
            const Bitmap* allow = request.allow ? &request.allow->bitmap : nullptr;
            found = collectors(request.count, goal, snapshot.ascending);
            plain_scan(snapshot, goal, queries, allow, 0, found, plan, stop);
        } else {
            found = scan_to_reach(snapshot, goal, queries, plan, stop);
        }
    }
    std::atomic<std::size_t> next{0};
    const auto workers = static_cast<unsigned>(std::min<std::size_t>(threads_, found.size() / 16));
    run_parallel(std::max(workers, 1u), stop, [&](unsigned) {
        for (std::size_t q; (q = next.fetch_add(1)) < found.size();) {
            stop.check();
            results[q] = found[q].finish(stop);
        }
    });

    if (may_use && !range && !skips && wants_look(snapshot, why_not)) {
        std::vector<std::uint32_t> radii;
        for (const auto& result : results)
            radii.push_back(result.size() < goal.k
                                ? goal.radius
                                : static_cast<std::uint32_t>(result.back().distance));
        if (auto built = consider(snapshot, goal, queries, radii, why_not, stop)) {
            newer = built;
            try_out(*newer, goal, request.part(0, Planner::kTries, layout_), stop);
        }
    }
    if (plan.path == "scan" && plan.reason.empty())
        plan.reason =
            why_not.empty() ? "no structures stand beside the codes, or not yet" : why_not;
    if (request.weights) {
        plan.path += ", then weights";
        reorder(snapshot, request, goal.k, results, stop);
    }
    return results;
}

/// Looks some queries up twice and drops the answers: the search that built structures has taken
/// its time anyway, and the next one finds them in the caches and knows what they take.
void Index::try_out(const Snapshot& snapshot, const Goal& goal, const Request& request,
                    Stop& stop) {
    const Queries queries = spread(layout_, request);
    for (int turn = 0; turn < 2; ++turn) {
        Plan plan;
        plan.expected_scan_ns = planner_.scan_ns(goal, snapshot.live * layout_.stride, 1);
        std::vector<TopK> dropped = collectors(queries.count, goal, false);
        through_structures(snapshot, goal, queries, dropped, plan, stop);
    }
}

/// Replaces the k nearest by the k best under each query's weights.
void Index::reorder(const Snapshot& snapshot, const Request& request, std::size_t k,
                    std::vector<std::vector<Ranked>>& results, Stop& stop) const {
    Bitmap both;
    const std::uint64_t* rows =
        eligible(snapshot, request.allow ? &request.allow->bitmap : nullptr, both);
    std::atomic<std::size_t> next{0};
    run_parallel(
        std::min<unsigned>(threads_, static_cast<unsigned>(request.count)), stop, [&](unsigned) {
            for (std::size_t q; (q = next.fetch_add(1)) < request.count;) {
                if (results[q].empty()) continue;
                const std::uint8_t* query = request.queries + q * layout_.bytes;
                const Weights weights(layout_, query, request.weights + q * layout_.bits);
                const auto hint = static_cast<std::uint32_t>(results[q].back().distance);
                results[q] =
                    weighted_search(snapshot, query, weights, k, hint, rows, loops_.collect, stop);
            }
        });
}

}  // namespace dsah
