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
    Bitmap both;
    const std::uint64_t* rows = eligible(snapshot, allow, both);
    const double start = busy_ns();
    scan(snapshot, first_row, queries, rows, loops_, threads_, stop, found);
    if (snapshot.span <= first_row) return;
    plan.scanned_rows += snapshot.span - first_row;
    if (!allow)
        planner_.note_scan((snapshot.span - first_row) * layout_.stride, queries.count,
                           busy_ns() - start);
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

/// Structures for the covered rows, a scan for the rest and for queries that were given up.
void Index::through_structures(const Snapshot& snapshot, const Queries& queries, std::size_t k,
                               std::uint32_t radius, std::vector<TopK>& found, Plan& plan,
                               Stop& stop) {
    const Sublinear& structures = *snapshot.sublinear;
    std::vector<char> given_up;
    // What is left by a query that gives up is scanned without most of its company.
    const double alone = planner_.scan_ns(snapshot.live * layout_.stride, 1);
    const double budget = std::min(alone, 4 * plan.expected_scan_ns);
    structures.search(snapshot, queries, loops_, budget, threads_, stop, found, given_up,
                      plan.work);
    const auto fallbacks = static_cast<std::size_t>(
        std::count(given_up.begin(), given_up.end(), static_cast<char>(1)));
    plan.fallbacks += fallbacks;
    const auto tail_start = Clock::now();
    if (fallbacks == 0) {
        plain_scan(snapshot, queries, nullptr, structures.covered(), found, plan, stop);
        if (snapshot.span > structures.covered() + kBlockRows)
            rent_ns_ = rent_ns_ + ns_since(tail_start);
        return;
    }
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
    for (std::size_t first = 0; first < request.count; first += kQueriesAtOnce) {
        const Request some = request.part(first, kQueriesAtOnce, layout_);
        const auto held = newer;
        for (auto& result : answer(held ? *held : asked, some, plan, newer, stop))
            results.push_back(std::move(result));
    }
    plan.seconds = ns_since(start) * 1e-9;
    planner_.remember(std::move(plan));
    return results;
}

/// A part of a search; `newer` becomes the snapshot for the next part if this one built structures.
std::vector<std::vector<Ranked>> Index::answer(const Snapshot& asked, const Request& request,
                                               Plan& plan, std::shared_ptr<const Snapshot>& newer,
                                               Stop& stop) {
    const Queries queries = spread(layout_, request);
    const std::uint32_t radius = std::min(request.radius, layout_.max_distance());
    const std::size_t k = request.k == kNoLimit ? kNoLimit : std::min(request.k, asked.live);
    std::vector<std::vector<Ranked>> results(request.count);
    if (asked.live == 0 || k == 0) {
        plan.path = "none";
        plan.reason = "there is nothing to find";
        return results;
    }

    const Bitmap* allow = request.allow ? &request.allow->bitmap : nullptr;
    plan.expected_scan_ns = planner_.scan_ns(asked.live * layout_.stride, request.count);
    const bool range = k == kNoLimit;
    const bool may_use = sublinear_ && !request.allow;
    const auto look = [&](const Snapshot& snapshot, const std::vector<std::uint32_t>& radii) {
        if (auto built = consider(snapshot, queries, radii, plan.reason, stop)) newer = built;
    };
    if (may_use && range && wants_look(asked, plan.reason))
        look(asked, std::vector<std::uint32_t>(request.count, radius));
    const std::shared_ptr<const Snapshot> holding = newer;
    const Snapshot& snapshot = holding ? *holding : asked;
    const bool skip = may_use && snapshot.sublinear && !range &&
                      planner_.prefers_scan(asked.live * layout_.stride, request.count, k);
    std::vector<TopK> found;
    if (may_use && snapshot.sublinear && !skip) {
        plan.path = snapshot.sublinear->tables() ? "tables" : "groups";
        plan.reason = "they are there, and no scan was measured to be faster";
        found = collectors(request.count, k, radius, false, request.count_only);
        const double before = busy_ns();
        through_structures(snapshot, queries, k, radius, found, plan, stop);
        if (!range)
            planner_.note_structures(k, request.count,
                                     (busy_ns() - before) / static_cast<double>(request.count));
    } else if (request.allow && request.allow->list.size() < snapshot.live / 32) {
        plan.path = "listed rows";
        plan.reason = "few rows are allowed";
        found = collectors(request.count, k, radius, false, request.count_only);
        listed_rows(snapshot, queries, request.allow->list, found, stop);
    } else {
        plan.path = "scan";
        if (skip)
            plan.reason = "a scan is faster for such searches, by measurement";
        else if (!sublinear_)
            plan.reason = "sublinear=False";
        else if (allow)
            plan.reason = "structures know nothing of allowed rows";
        else if (plan.reason.empty())
            plan.reason = "no structures stand beside the codes, or not yet";
        if (range || allow) {
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

    if (may_use && !range && !skip && wants_look(snapshot, plan.reason)) {
        std::vector<std::uint32_t> radii;
        for (const auto& result : results)
            radii.push_back(result.size() < k ? radius
                                              : static_cast<std::uint32_t>(result.back().distance));
        look(snapshot, radii);
    }
    if (request.weights) {
        plan.path += ", then weights";
        reorder(snapshot, request, k, results, stop);
    }
    return results;
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
