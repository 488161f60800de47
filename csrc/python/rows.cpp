// Codes and ids out of the index: by id, in row order, in the order of ids.
#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

/// Codes and ids of given rows of a snapshot.
py::tuple take(const Snapshot& snapshot, const std::vector<std::size_t>& rows) {
    const Layout& layout = snapshot.layout;
    auto codes = new_array<Codes>(rows.size(), layout.bytes);
    auto ids = new_array<Ids>(rows.size());
    std::uint8_t* code = codes.mutable_data();
    std::int64_t* id = ids.mutable_data();
    for (const std::size_t row : rows) {
        const Piece& piece = snapshot.piece_of(row);
        layout.fetch(piece.codes(), row - piece.first, code);
        *id++ = piece.id(row - piece.first);
        code += layout.bytes;
    }
    return py::make_tuple(codes, ids);
}

py::tuple get(const Index& index, const Ids& ids) {
    std::shared_ptr<const Snapshot> snapshot;
    std::vector<std::size_t> rows;
    {
        Stop stop = stop_on_signal();
        const py::gil_scoped_release free;
        snapshot = index.snapshot(stop);
        rows = index.rows_of(*snapshot, ids.data(), length(ids), stop);
    }
    const Layout& layout = index.layout();
    auto codes = new_array<Codes>(rows.size(), layout.bytes);
    auto present = new_array<py::array_t<bool>>(rows.size());
    std::uint8_t* code = codes.mutable_data();
    bool* is_present = present.mutable_data();
    {
        Stop stop = stop_on_signal();
        const py::gil_scoped_release free;
        in_steps(rows.size(), 16384, stop, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i, code += layout.bytes) {
                is_present[i] = rows[i] != kNoRow;
                std::fill(code, code + layout.bytes, std::uint8_t{0});
                if (rows[i] == kNoRow) continue;
                const Piece& piece = snapshot->piece_of(rows[i]);
                layout.fetch(piece.codes(), rows[i] - piece.first, code);
            }
        });
    }
    return py::make_tuple(codes, present);
}

/// Up to `count` live rows from row number `first` on: codes, ids, and where to go on.
py::tuple rows_from(const Index&, const Snapshot& snapshot, std::size_t first, std::size_t count) {
    std::vector<std::size_t> rows;
    std::size_t next = snapshot.span;
    for (const Piece& piece : snapshot.pieces)
        for (std::size_t row = std::max(first, piece.first); row < piece.first + piece.rows;
             ++row) {
            if (rows.size() == count) {
                next = std::min(next, row);
                break;
            }
            if (snapshot.is_alive(row)) rows.push_back(row);
        }
    return take(snapshot, rows) + py::make_tuple(next);
}

/// Row numbers of all live rows, ids ascending.
Rows rows_by_id(const Snapshot& snapshot) {
    auto sorted = new_array<Rows>(snapshot.live);
    std::uint32_t* out = sorted.mutable_data();
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    struct Named {
        std::int64_t id;
        std::uint32_t row;
    };
    std::vector<Named> named;
    named.reserve(snapshot.live);
    snapshot.for_each_live(stop, [&](std::size_t row, const Piece& piece, std::size_t i) {
        named.push_back({piece.id(i), static_cast<std::uint32_t>(row)});
    });
    const auto less = [](const Named& a, const Named& b) { return a.id < b.id; };
    if (!snapshot.ascending) stoppable_sort(named.begin(), named.end(), less, stop);
    in_steps(named.size(), 65536, stop, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = named[i].row;
    });
    return sorted;
}

}  // namespace

void bind_rows(py::module_& m, IndexClass& index) {
    py::class_<Snapshot, std::shared_ptr<Snapshot>>(m, "Snapshot", "A frozen view of the rows.")
        .def_readonly("version", &Snapshot::version, "Counts the changes made before it.")
        .def_readonly("ascending", &Snapshot::ascending, "Whether ids rise with the rows.")
        .def("rows_by_id", &rows_by_id, "Numbers of the live rows, ids ascending.")
        .def(
            "take",
            [](const Snapshot& snapshot, const Rows& rows) {
                for (py::ssize_t i = 0; i < rows.size(); ++i)
                    if (rows.at(i) >= snapshot.span)
                        throw Error(Fault::usage, "take(): no row " + std::to_string(rows.at(i)));
                return take(snapshot, {rows.data(), rows.data() + rows.size()});
            },
            py::arg("rows"), "Codes and ids of rows.");
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
