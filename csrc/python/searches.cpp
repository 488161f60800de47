// search, range_search, count.
#include <variant>

#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

using Results = std::vector<std::vector<Ranked>>;
using Mask = py::array_t<bool, py::array::c_style>;
using Allow = std::optional<std::variant<Mask, Ids>>;

Results run(Index& index, const Codes& queries, Request request, const Allow& allow, Stop& stop,
            std::shared_ptr<const Snapshot> snapshot = nullptr) {
    request.queries = code_data(queries, index.layout());
    request.count = length(queries);
    const Mask* mask = allow ? std::get_if<Mask>(&*allow) : nullptr;
    const Ids* ids = allow ? std::get_if<Ids>(&*allow) : nullptr;
    const bool* places = mask ? mask->data() : nullptr;
    const std::int64_t* numbers = ids ? ids->data() : nullptr;
    const std::size_t count = mask ? length(*mask) : ids ? length(*ids) : 0;
    const py::gil_scoped_release free;
    if (!snapshot) snapshot = index.snapshot(stop);
    AllowedRows rows;
    if (mask)
        rows = allow_mask(*snapshot, reinterpret_cast<const std::uint8_t*>(places), count, stop);
    if (ids) rows = allow_ids(*snapshot, numbers, count, stop);
    if (allow) request.allow = &rows;
    return index.search(*snapshot, request, stop);
}

/// Each query's hits in a row of k, padded.
py::tuple to_grid(const Results& results, std::size_t k, Stop& stop) {
    auto distances = new_array<Distances>(results.size(), k);
    auto ids = new_array<Ids>(results.size(), k);
    std::int32_t* d = distances.mutable_data();
    std::int64_t* id = ids.mutable_data();
    {
        const py::gil_scoped_release free;
        for (const auto& row : results)
            in_steps(k, 65536, stop, [&](std::size_t begin, std::size_t end) {
                for (std::size_t j = begin; j < end; ++j) {
                    *d++ = j < row.size() ? row[j].distance : INT32_MAX;
                    *id++ = j < row.size() ? row[j].id : -1;
                }
            });
    }
    return py::make_tuple(distances, ids);
}

/// All hits behind one another, and where each query's begin.
py::tuple to_csr(const Results& results, Stop& stop) {
    auto lims = new_array<Ids>(results.size() + 1);
    std::int64_t* lim = lims.mutable_data();
    *lim = 0;
    for (const auto& row : results) {
        lim[1] = lim[0] + static_cast<std::int64_t>(row.size());
        ++lim;
    }
    auto distances = new_array<Distances>(static_cast<std::size_t>(*lim));
    auto ids = new_array<Ids>(static_cast<std::size_t>(*lim));
    std::int32_t* d = distances.mutable_data();
    std::int64_t* id = ids.mutable_data();
    {
        const py::gil_scoped_release free;
        for (const auto& row : results)
            in_steps(row.size(), 65536, stop, [&](std::size_t begin, std::size_t end) {
                for (std::size_t j = begin; j < end; ++j) {
                    *d++ = row[j].distance;
                    *id++ = row[j].id;
                }
            });
    }
    return py::make_tuple(lims, distances, ids);
}

py::tuple search(Index& index, const Codes& queries, std::size_t k, const Allow& allow,
                 const std::optional<Floats>& weights) {
    Request request;
    request.k = k;
    if (weights) request.weights = weights->data();
    Stop stop = stop_on_signal();
    return to_grid(run(index, queries, request, allow, stop), k, stop);
}

py::tuple range_search(Index& index, const Codes& queries, std::uint32_t radius,
                       std::optional<std::size_t> limit, const Allow& allow,
                       const std::optional<Ids>& only_above, std::shared_ptr<Snapshot> snapshot) {
    Request request;
    request.radius = radius;
    if (limit) request.k = *limit;
    if (only_above) request.only_above = only_above->data();
    Stop stop = stop_on_signal();
    return to_csr(run(index, queries, request, allow, stop, std::move(snapshot)), stop);
}

Ids count(Index& index, const Codes& queries, std::uint32_t radius, const Allow& allow) {
    Request request;
    request.radius = radius;
    request.count_only = true;
    Stop stop = stop_on_signal();
    const Results results = run(index, queries, request, allow, stop);
    auto counts = new_array<Ids>(results.size());
    std::int64_t* out = counts.mutable_data();
    for (const auto& result : results) *out++ = result.empty() ? 0 : result[0].id;
    return counts;
}

}  // namespace

void bind_searches(IndexClass& index) {
    index
        .def("search", &search, py::arg("queries"), py::arg("k"), py::arg("allow") = std::nullopt,
             py::arg("weights") = std::nullopt)
        .def("range_search", &range_search, py::arg("queries"), py::arg("radius"),
             py::arg("limit") = std::nullopt, py::arg("allow") = std::nullopt,
             py::arg("only_above") = std::nullopt, py::arg("snapshot") = nullptr)
        .def("count", &count, py::arg("queries"), py::arg("radius"),
             py::arg("allow") = std::nullopt);
}

}  // namespace python
}  // namespace dsah
