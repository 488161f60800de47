// Codes and ids out of the index: by id, in row order, in the order of ids.
#include "rows.hpp"

#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

/// Codes and ids of given rows of a snapshot.
py::tuple codes_and_ids(const Snapshot& snapshot, const std::vector<std::size_t>& rows,
                        Stop& stop) {
    auto codes = new_array<Codes>(rows.size(), snapshot.layout.bytes);
    auto ids = new_array<Ids>(rows.size());
    std::uint8_t* code = codes.mutable_data();
    std::int64_t* id = ids.mutable_data();
    {
        const py::gil_scoped_release free;
        copy_codes(snapshot, rows, code, stop);
        copy_ids(snapshot, rows, id, stop);
    }
    return py::make_tuple(codes, ids);
}

py::tuple take(const Snapshot& snapshot, const Rows& wanted) {
    const std::uint32_t* numbers = wanted.data();
    const auto count = static_cast<std::size_t>(wanted.size());
    std::vector<std::size_t> rows;
    Stop stop = stop_on_signal();
    {
        const py::gil_scoped_release free;
        rows.reserve(count);
        in_steps(count, 65536, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                if (numbers[i] >= snapshot.span)
                    throw Error(Fault::usage, "take(): no row " + std::to_string(numbers[i]));
                rows.push_back(numbers[i]);
            }
        });
    }
    return codes_and_ids(snapshot, rows, stop);
}

py::tuple get(const Index& index, const Ids& ids) {
    const std::int64_t* wanted = ids.data();
    const std::size_t count = length(ids);
    std::shared_ptr<const Snapshot> snapshot;
    std::vector<std::size_t> rows;
    Stop stop = stop_on_signal();
    {
        const py::gil_scoped_release free;
        snapshot = index.snapshot(stop);
        rows = index.rows_of(*snapshot, wanted, count, stop);
    }
    auto codes = new_array<Codes>(count, index.layout().bytes);
    auto present = new_array<py::array_t<bool>>(count);
    std::uint8_t* code = codes.mutable_data();
    bool* is_present = present.mutable_data();
    {
        const py::gil_scoped_release free;
        copy_codes(*snapshot, rows, code, stop);
        in_steps(count, 65536, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) is_present[i] = rows[i] != kNoRow;
        });
    }
    return py::make_tuple(codes, present);
}

/// Up to `count` live rows from row number `first` on: codes, ids, and where to go on.
py::tuple rows_from(const Index&, const Snapshot& snapshot, std::size_t first, std::size_t count) {
    std::vector<std::size_t> rows;
    std::size_t next = 0;
    Stop stop = stop_on_signal();
    {
        const py::gil_scoped_release free;
        rows = live_rows(snapshot, first, count, next, stop);
    }
    return codes_and_ids(snapshot, rows, stop) + py::make_tuple(next);
}

/// Row numbers of all live rows, ids ascending.
Rows by_id(const Snapshot& snapshot) {
    auto sorted = new_array<Rows>(snapshot.live);
    std::uint32_t* rows = sorted.mutable_data();
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    rows_by_id(snapshot, rows, stop);
    return sorted;
}

}  // namespace

void bind_rows(py::module_& m, IndexClass& index) {
    py::class_<Snapshot, std::shared_ptr<Snapshot>>(m, "Snapshot", "A frozen view of the rows.")
        .def_readonly("version", &Snapshot::version, "Counts the changes made before it.")
        .def_readonly("ascending", &Snapshot::ascending, "Whether ids rise with the rows.")
        .def("rows_by_id", &by_id, "Numbers of the live rows, ids ascending.")
        .def("take", &take, py::arg("rows"), "Codes and ids of rows.");
    index
        .def("snapshot",
             [](const Index& i) {
                 Stop stop = stop_on_signal();
                 const py::gil_scoped_release free;
                 return std::const_pointer_cast<Snapshot>(i.snapshot(stop));
             })
        .def("get", &get, py::arg("ids"))
        .def("rows_from", &rows_from, py::arg("snapshot"), py::arg("first"), py::arg("count"));
}

}  // namespace python
}  // namespace dsah
