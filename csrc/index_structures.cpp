// When the index builds structures beside its codes, and how searches come to see them.
#include "index.hpp"

namespace dsah {

/// Look on searches 1, 2, 4, 8, ... without structures; with them, once the scans of rows added
/// since have cost as much as building anew would (rent until it equals the price, then buy).
///
/// A mapped file is never looked at: whoever maps it wants it opened at once and its memory shared
/// with other processes, and structures would be private to each and as large as the file.
bool Index::wants_look(const Snapshot& snapshot, std::string& reason) {
    if (snapshot.sublinear) return rent_ns_ > snapshot.sublinear->build_seconds() * 1e9;
    for (const Piece& piece : snapshot.pieces)
        if (piece.segment->codes->mapped()) {
            reason = "beside a mapped file structures are built by build() only";
            return false;
        }
    const std::uint64_t looks = ++searches_;
    return (looks & (looks - 1)) == 0;
}

std::shared_ptr<const Snapshot> Index::consider(const Snapshot& snapshot, const Goal& goal,
                                                const Queries& queries,
                                                const std::vector<std::uint32_t>& radii,
                                                std::string& reason, Stop& stop) {
    if (!planner_.worth_building(snapshot, goal, queries, radii, threads_, reason)) return nullptr;
    const std::unique_lock<ForkSafeMutex> lock(building_, std::try_to_lock);
    if (!lock) return nullptr;  // another search is at it
    return attach(snapshot, std::make_shared<const Sublinear>(snapshot, threads_, stop), stop);
}

void Index::build(Stop& stop) {
    const Hold lock(building_, stop);
    const auto now = snapshot(stop);
    if (now->live == 0) return;
    if (!Sublinear::has_tables(layout_, now->live) && !Sublinear::worth_grouping(*now)) return;
    attach(*now, std::make_shared<const Sublinear>(*now, threads_, stop), stop);
}

/// Publishes structures built from `base`, unless rows were renumbered meanwhile. Returns `base`
/// with them, for the search that is under way.
std::shared_ptr<const Snapshot> Index::attach(const Snapshot& base,
                                              std::shared_ptr<const Sublinear> structures,
                                              Stop& stop) {
    if (!structures->groups() && !structures->tables()) return nullptr;
    {
        const Hold writer(writing_, stop);
        const auto now = snapshot(stop);
        if (now->generation == base.generation) {
            auto next = std::make_shared<Snapshot>(*now);
            next->sublinear = structures;
            publish(std::move(next));
            planner_.forget_structures();
            rent_ns_ = 0;
        }
    }
    auto with = std::make_shared<Snapshot>(base);
    with->sublinear = std::move(structures);
    return with;
}

}  // namespace dsah
