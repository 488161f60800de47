// The read side of the index: checks the request, picks a path, runs it.
#include "index.hpp"
#include "scan.hpp"

namespace dsah {
namespace {

Queries spread(const Layout& layout, const Request& request) {
    const std::size_t dirty = layout.first_dirty(request.queries, request.count);
    if (dirty < request.count)
        throw Error(Fault::code, "query " + std::to_string(dirty) + " has non-zero padding bits");
    Queries queries;
    queries.count = request.count;
    queries.width = layout.lanes();
    queries.only_above = request.only_above;
    queries.lanes.resize(request.count * queries.width);
    for (std::size_t i = 0; i < request.count; ++i)
        layout.spread(request.queries + i * layout.bytes, queries.lanes.data() + i * queries.width);
    return queries;
}

/// Rows that are alive and allowed, or null where that is all of them.
const std::uint64_t* eligible(const Snapshot& snapshot, const Bitmap* allow, Bitmap& both) {
    if (!allow) return snapshot.alive ? snapshot.alive->data() : nullptr;
    if (!snapshot.alive) return allow->data();
    both = *allow;
    for (std::size_t i = 0; i < both.size(); ++i) both[i] &= (*snapshot.alive)[i];
    return both.data();
}

}  // namespace

std::vector<std::vector<Ranked>> Index::search(const Snapshot& snapshot, const Request& request,
                                               Stop& stop) const {
    const Queries queries = spread(layout_, request);
    const std::uint32_t radius = std::min(request.radius, layout_.max_distance());
    const std::size_t k = request.k == kNoLimit ? kNoLimit : std::min(request.k, snapshot.live);
    std::vector<std::vector<Ranked>> results(request.count);
    if (snapshot.live == 0 || k == 0) return results;
    Bitmap both;
    const std::uint64_t* rows = eligible(snapshot, request.allow, both);
    std::vector<TopK> found(request.count, TopK(k, radius, snapshot.ascending));
    scan(snapshot, 0, queries, rows, collect_, threads_, stop, found);
    for (std::size_t i = 0; i < request.count; ++i) results[i] = found[i].finish();
    return results;
}

}  // namespace dsah
