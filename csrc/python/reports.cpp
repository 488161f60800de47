// stats and explain.
#include <set>

#include "bindings.hpp"
#include "id_map.hpp"

namespace dsah {
namespace python {
namespace {

/// Memory for codes and ids, with the room for more of them. Pieces may share one memory.
std::size_t held(const Snapshot& snapshot) {
    std::set<const Memory*> all;
    const auto note = [&](const Segment& segment) {
        all.insert(&segment.codes->whole());
        if (segment.ids) all.insert(&segment.ids->whole());
    };
    for (const Piece& piece : snapshot.pieces) note(*piece.segment);
    if (snapshot.spare) note(*snapshot.spare);
    std::size_t bytes = 0;
    for (const Memory* memory : all) bytes += memory->held();
    return bytes;
}

py::dict stats(const Index& index) {
    std::shared_ptr<const Snapshot> snapshot;
    {
        Stop stop = stop_on_signal();
        const py::gil_scoped_release free;
        snapshot = index.snapshot(stop);
    }
    std::size_t codes = 0, ids = 0;
    bool mapped = false;
    for (const Piece& piece : snapshot->pieces) {
        codes += index.layout().size_bytes(piece.rows);
        ids += piece.segment->ids ? 8 * piece.rows : 2 * sizeof(Run) * piece.segment->runs.size();
        mapped = mapped || piece.segment->codes->mapped();
    }
    const Sublinear* structures = snapshot->sublinear.get();
    py::dict out;
    out["codes"] = snapshot->live;
    out["removed"] = snapshot->rows() - snapshot->live;
    out["pieces"] = snapshot->pieces.size();
    out["mapped"] = mapped;
    out["code_bytes"] = codes;
    out["bytes_per_code"] = index.layout().stride;
    out["id_bytes"] = ids;
    out["held_bytes"] = held(*snapshot);
    out["id_map_bytes"] = snapshot->id_map->bytes();
    out["removed_bytes"] = snapshot->alive ? 8 * snapshot->alive->size() : 0;
    out["sublinear_bytes"] = structures ? structures->bytes() : 0;
    out["sublinear_seconds"] = structures ? structures->build_seconds() : 0.0;
    out["sublinear_covers"] = structures ? structures->covered() : 0;
    out["distinct_codes"] = structures && structures->groups()
                                ? py::object(py::int_(structures->groups()->count()))
                                : py::object(py::none());
    out["tables"] = structures && structures->tables() ? structures->tables()->chunks() : 0;
    out["isa"] = index.kernel().name;
    out["threads"] = index.threads();
    return out;
}

py::dict explain(const Index& index) {
    const Plan plan = index.last_plan();
    py::dict out;
    out["path"] = plan.path;
    out["reason"] = plan.reason;
    out["queries"] = plan.queries;
    out["fallbacks"] = plan.fallbacks;
    out["scanned_rows"] = plan.queries ? plan.scanned_rows / static_cast<double>(plan.queries) : 0;
    out["probes"] = plan.work.probes;
    out["candidates"] = plan.work.candidates;
    out["expected_scan_us"] = plan.expected_scan_ns * 1e-3;
    out["seconds"] = plan.seconds;
    return out;
}

}  // namespace

void bind_reports(IndexClass& index) {
    index.def("stats", &stats).def("explain", &explain);
}

}  // namespace python
}  // namespace dsah
