// The read side of the index: checks a request, picks a way to answer it, takes it.
#include <chrono>

#include "index.hpp"
#include "scan.hpp"
#include "weighted.hpp"

namespace dsah {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kQueriesAtOnce = 8192;  // bounds the memory that a large batch takes

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
std::vector<TopK> collectors(std::size_t count, std::size_t k, std::uint32_t radius, bool ascending,
                             bool count_only = false) {
    std::vector<TopK> empty;
    empty.reserve(count);
    for (std::size_t q = 0; q < count; ++q) {
        empty.emplace_back(k, radius, ascending);
        if (count_only) empty.back().count_only();
    }
    return empty;
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

void Index::plain_scan(const Snapshot& snapshot, const Queries& queries, const Bitmap* allow,
                       std::size_t first_row, std::vector<TopK>& found, Plan& plan, Stop& stop) {
    const std::size_t k = found.empty() ? kNoLimit : found[0].k();
    const bool usual = k == kNoLimit || reach_.known(k);  // else nothing was dropped early
    Bitmap both;
    const std::uint64_t* rows = eligible(snapshot, allow, both);
    const double start = busy_ns();
    scan(snapshot, first_row, queries, rows, loops_, threads_, stop, found);
    if (snapshot.span <= first_row) return;
    plan.scanned_rows += static_cast<double>((snapshot.span - first_row) * queries.count);
    if (!allow)
        planner_.note_scan((snapshot.span - first_row) * layout_.stride, queries.count,
                           busy_ns() - start, usual);
}

/// The k nearest by a scan that first looks as far as the latest answers reached.
std::vector<TopK> Index::scan_to_reach(const Snapshot& snapshot, const Queries& queries,
                                       std::size_t k, std::uint32_t radius, Plan& plan,
                                       Stop& stop) {
    const auto near = static_cast<std::uint32_t>(std::min<std::int64_t>(reach_.guess(k), radius));
    std::vector<TopK> found = collectors(queries.count, k, near, snapshot.ascending);
    plain_scan(snapshot, queries, nullptr, 0, found, plan, stop);
    if (near < radius) {
        std::vector<char> missed(queries.count);
        for (std::size_t q = 0; q < queries.count; ++q) missed[q] = !found[q].full();
        std::vector<std::int64_t> above;
        const Queries again = queries.select(missed, above);
        std::vector<TopK> whole = collectors(again.count, k, radius, snapshot.ascending);
        if (again.count) plain_scan(snapshot, again, nullptr, 0, whole, plan, stop);
        for (std::size_t q = 0, w = 0; q < queries.count; ++q)
            if (missed[q]) found[q] = std::move(whole[w++]);
    }
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

bool Index::may_use_structures(const Request& request) const {
    return sublinear_ && !request.allow;  // they know nothing of allowed rows
}

/// Structures for the covered rows, a scan for the rest and for queries that were given up.
void Index::through_structures(const Snapshot& snapshot, const Queries& queries, std::size_t k,
                               std::uint32_t radius, std::vector<TopK>& found, Plan& plan,
                               Stop& stop) {
    const Sublinear& structures = *snapshot.sublinear;
    const double before = busy_ns();
    std::vector<char> given_up;
    // What is left by a query that gives up is scanned without most of its company.
    const double alone = planner_.scan_ns(snapshot.live * layout_.stride, 1);
    const double budget = std::min(alone, 4 * plan.expected_scan_ns);
    structures.search(snapshot, queries, loops_, budget, threads_, stop, found, given_up,
                      plan.work);
    const auto fallbacks = static_cast<std::size_t>(
        std::count(given_up.begin(), given_up.end(), static_cast<char>(1)));
    plan.fallbacks += fallbacks;
    if (fallbacks == 0) {
        const auto tail_start = Clock::now();
        plain_scan(snapshot, queries, nullptr, structures.covered(), found, plan, stop);
        if (snapshot.span > structures.covered() + kBlockRows)
            rent_ns_ = rent_ns_ + ns_since(tail_start);
    } else {
        std::vector<std::int64_t> above;
        const Queries left = queries.select(given_up, above);
        std::vector<TopK> whole =
            collectors(left.count, k, radius, snapshot.ascending, found[0].counting());
        plain_scan(snapshot, left, nullptr, 0, whole, plan, stop);
        for (char& flag : given_up) flag = !flag;
        std::vector<std::int64_t> above_rest;
        const Queries rest = queries.select(given_up, above_rest);
        std::vector<TopK> tails;
        for (std::size_t q = 0; q < queries.count; ++q)
            if (given_up[q]) tails.push_back(std::move(found[q]));
        plain_scan(snapshot, rest, nullptr, structures.covered(), tails, plan, stop);
        for (std::size_t q = 0, w = 0, t = 0; q < queries.count; ++q)
            found[q] = given_up[q] ? std::move(tails[t++]) : std::move(whole[w++]);
    }
    if (k != kNoLimit)
        planner_.note_structures(k, queries.count, threads_,
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
    const std::size_t bytes = asked.live * layout_.stride;
    plan.expected_scan_ns = planner_.scan_ns(bytes, request.count);
    while (results.size() < request.count) {
        const auto held = newer;
        const Snapshot& snapshot = held ? *held : asked;
        Step step{!snapshot.sublinear || !may_use_structures(request), kQueriesAtOnce};
        if (!step.scan && request.k != kNoLimit)
            step = planner_.next_step(bytes, request.count, request.count - results.size(),
                                      std::min(request.k, asked.live), threads_);
        const std::size_t most = std::min(step.queries, kQueriesAtOnce);
        const Request some = request.part(results.size(), most, layout_);
        for (auto& result : answer(snapshot, some, step.scan, plan, newer, stop))
            results.push_back(std::move(result));
    }
    plan.seconds = ns_since(start) * 1e-9;
    planner_.remember(std::move(plan));
    return results;
}

/// A part of a search, by a scan even where structures stand if so `scan_only`; `newer` becomes the
/// snapshot for the next part if this one built structures.
std::vector<std::vector<Ranked>> Index::answer(const Snapshot& asked, const Request& request,
                                               bool scan_only, Plan& plan,
                                               std::shared_ptr<const Snapshot>& newer, Stop& stop) {
    const Queries queries = spread(layout_, request);
    const std::uint32_t radius = std::min(request.radius, layout_.max_distance());
    const std::size_t k = request.k == kNoLimit ? kNoLimit : std::min(request.k, asked.live);
    std::vector<std::vector<Ranked>> results(request.count);
    if (asked.live == 0 || k == 0) {
        plan.path = "none";
        plan.reason = "there is nothing to find";
        return results;
    }

    const bool range = k == kNoLimit;
    const bool may_use = may_use_structures(request);
    std::string why_not;  // structures were not built
    if (may_use && range && wants_look(asked, why_not))
        if (auto built = consider(asked, queries, std::vector<std::uint32_t>(queries.count, radius),
                                  why_not, stop))
            newer = built;
    const std::shared_ptr<const Snapshot> holding = newer;
    const Snapshot& snapshot = holding ? *holding : asked;
    const bool skips = scan_only && may_use && snapshot.sublinear;
    std::vector<TopK> found;
    if (may_use && snapshot.sublinear && !skips) {
        plan.path = snapshot.sublinear->tables() ? "tables" : "groups";
        plan.reason = "they are there, and no scan was measured to be faster";
        found = collectors(request.count, k, radius, false, request.count_only);
        through_structures(snapshot, queries, k, radius, found, plan, stop);
    } else if (request.allow && request.allow->list.size() < snapshot.live / 32) {
        plan.path = "listed rows";
        plan.reason = "few rows are allowed";
        found = collectors(request.count, k, radius, false, request.count_only);
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
            found = collectors(request.count, k, radius, snapshot.ascending, request.count_only);
            plain_scan(snapshot, queries, allow, 0, found, plan, stop);
        } else {
            found = scan_to_reach(snapshot, queries, k, radius, plan, stop);
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
            radii.push_back(result.size() < k ? radius
                                              : static_cast<std::uint32_t>(result.back().distance));
        if (auto built = consider(snapshot, queries, radii, why_not, stop)) {
            newer = built;
            try_out(*newer, request.part(0, Planner::kTries, layout_), k, radius, stop);
        }
    }
    if (plan.path == "scan" && plan.reason.empty())
        plan.reason =
            why_not.empty() ? "no structures stand beside the codes, or not yet" : why_not;
    if (request.weights) {
        plan.path += ", then weights";
        reorder(snapshot, request, k, results, stop);
    }
    return results;
}

/// Looks some queries up twice and drops the answers: the search that built structures has taken
/// its time anyway, and the next one finds them in the caches and knows what they take.
void Index::try_out(const Snapshot& snapshot, const Request& request, std::size_t k,
                    std::uint32_t radius, Stop& stop) {
    const Queries queries = spread(layout_, request);
    for (int turn = 0; turn < 2; ++turn) {
        Plan plan;
        plan.expected_scan_ns = planner_.scan_ns(snapshot.live * layout_.stride, 1);
        std::vector<TopK> dropped = collectors(queries.count, k, radius, false);
        through_structures(snapshot, queries, k, radius, dropped, plan, stop);
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
