// The border to Python: dtypes, shapes, the GIL, errors. Nothing is computed here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "cores.hpp"
#include "file.hpp"
#include "index.hpp"

namespace py = pybind11;
using namespace dsah;

namespace {

// C order is asked for, so strided and Fortran arrays are copied once on the way in.
using Codes = py::array_t<std::uint8_t, py::array::c_style>;
using Ids = py::array_t<std::int64_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;
using Distances = py::array_t<std::int32_t>;

/// Stops a long call when Python has a signal to deliver (Ctrl-C on the main thread).
Stop python_stop() {
    return Stop([] {
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    });
}

const std::uint8_t* code_data(const Codes& codes, const Layout& layout) {
    if (codes.ndim() != 2 || codes.shape(1) != static_cast<py::ssize_t>(layout.bytes))
        throw Error(Fault::code, "expected codes of shape (n, " + std::to_string(layout.bytes) +
                                     "), uint8, packed");
    return codes.data();
}

py::tuple to_grid(const std::vector<std::vector<Ranked>>& results, std::size_t k) {
    const auto m = static_cast<py::ssize_t>(results.size()), width = static_cast<py::ssize_t>(k);
    Distances distances({m, width});
    Ids ids({m, width});
    std::int32_t* d = distances.mutable_data();
    std::int64_t* id = ids.mutable_data();
    for (const auto& row : results) {
        for (std::size_t j = 0; j < k; ++j) {
            *d++ = j < row.size() ? row[j].distance : INT32_MAX;
            *id++ = j < row.size() ? row[j].id : -1;
        }
    }
    return py::make_tuple(distances, ids);
}

py::tuple to_csr(const std::vector<std::vector<Ranked>>& results) {
    Ids lims(static_cast<py::ssize_t>(results.size() + 1));
    std::int64_t* lim = lims.mutable_data();
    *lim = 0;
    for (const auto& row : results) {
        lim[1] = lim[0] + static_cast<std::int64_t>(row.size());
        ++lim;
    }
    Distances distances(*lim);
    Ids ids(*lim);
    std::int32_t* d = distances.mutable_data();
    std::int64_t* id = ids.mutable_data();
    for (const auto& row : results)
        for (const Ranked& hit : row) {
            *d++ = hit.distance;
            *id++ = hit.id;
        }
    return py::make_tuple(lims, distances, ids);
}

std::vector<std::vector<Ranked>> run(Index& index, const Codes& queries, Request request,
                                     const std::optional<Ids>& allow,
                                     std::shared_ptr<const Snapshot> snapshot = nullptr) {
    request.queries = code_data(queries, index.layout());
    request.count = static_cast<std::size_t>(queries.shape(0));
    const std::int64_t* allowed = allow ? allow->data() : nullptr;
    const std::size_t allowed_count = allow ? static_cast<std::size_t>(allow->size()) : 0;
    Stop stop = python_stop();
    const py::gil_scoped_release free;
    if (!snapshot) snapshot = index.snapshot();
    AllowedRows rows;
    if (allow) {
        rows = index.allowed(*snapshot, allowed, allowed_count);
        request.allow = &rows;
    }
    return index.search(*snapshot, request, stop);
}

std::size_t add(Index& index, const Codes& codes, const std::optional<Ids>& ids,
                const std::string& on_duplicate) {
    const std::uint8_t* data = code_data(codes, index.layout());
    const auto count = static_cast<std::size_t>(codes.shape(0));
    if (ids && (ids->ndim() != 1 || static_cast<std::size_t>(ids->size()) != count))
        throw Error(Fault::usage,
                    "ids: expected one id per code, shape (" + std::to_string(count) + ",)");
    const auto policy = on_duplicate == "skip"      ? OnDuplicate::skip
                        : on_duplicate == "replace" ? OnDuplicate::replace
                                                    : OnDuplicate::raise;
    const std::int64_t* wanted = ids ? ids->data() : nullptr;
    const py::gil_scoped_release free;
    return index.add(data, count, wanted, policy);
}

std::size_t remove_ids(Index& index, const Ids& ids) {
    const py::gil_scoped_release free;
    return index.remove(ids.data(), static_cast<std::size_t>(ids.size()));
}

py::tuple get(const Index& index, const Ids& ids) {
    const auto snapshot = index.snapshot();
    const auto rows = index.rows_of(*snapshot, ids.data(), static_cast<std::size_t>(ids.size()));
    Codes codes(
        {static_cast<py::ssize_t>(rows.size()), static_cast<py::ssize_t>(index.layout().bytes)});
    py::array_t<bool> present(static_cast<py::ssize_t>(rows.size()));
    std::uint8_t* out = codes.mutable_data();
    std::fill(out, out + codes.size(), 0);
    for (std::size_t i = 0; i < rows.size(); ++i, out += index.layout().bytes) {
        present.mutable_at(static_cast<py::ssize_t>(i)) = rows[i] != IdMap::kAbsent;
        if (rows[i] == IdMap::kAbsent) continue;
        const Piece& piece = snapshot->piece_of(rows[i]);
        index.layout().fetch(piece.codes(), rows[i] - piece.first, out);
    }
    return py::make_tuple(codes, present);
}

/// Up to `count` live rows from row number `first` on: codes, ids, and where to go on.
py::tuple rows_from(const Index& index, const Snapshot& snapshot, std::size_t first,
                    std::size_t count) {
    std::vector<std::uint8_t> codes;
    std::vector<std::int64_t> ids;
    const Layout& layout = index.layout();
    std::size_t next = snapshot.span;
    for (const Piece& piece : snapshot.pieces)
        for (std::size_t row = std::max(first, piece.first); row < piece.first + piece.rows;
             ++row) {
            if (ids.size() == count) {
                next = std::min(next, row);
                break;
            }
            if (!snapshot.is_alive(row)) continue;
            codes.resize(codes.size() + layout.bytes);
            layout.fetch(piece.codes(), row - piece.first, &codes[ids.size() * layout.bytes]);
            ids.push_back(piece.id(row - piece.first));
        }
    Codes code_array(
        {static_cast<py::ssize_t>(ids.size()), static_cast<py::ssize_t>(layout.bytes)});
    std::copy(codes.begin(), codes.end(), code_array.mutable_data());
    Ids id_array(static_cast<py::ssize_t>(ids.size()));
    std::copy(ids.begin(), ids.end(), id_array.mutable_data());
    return py::make_tuple(code_array, id_array, next);
}

py::dict stats(const Index& index) {
    const auto snapshot = index.snapshot();
    std::size_t codes = 0, ids = 0;
    bool mapped = false;
    for (const Piece& piece : snapshot->pieces) {
        codes += index.layout().size_bytes(piece.rows);
        ids += piece.segment->ids ? 8 * piece.rows : 0;
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
    out["id_map_bytes"] = index.id_map_bytes();
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
    out["scanned_rows"] = plan.scanned_rows;
    out["probes"] = plan.work.probes;
    out["candidates"] = plan.work.candidates;
    out["expected_scan_us"] = plan.expected_scan_ns * 1e-3;
    out["seconds"] = plan.seconds;
    return out;
}

void raise_in_python(const Error& error) {
    if (error.fault == Fault::interrupted) {
        if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
        return;
    }
    if (error.fault == Fault::io) return PyErr_SetString(PyExc_OSError, error.what());
    const char* name = error.fault == Fault::usage  ? "UsageError"
                       : error.fault == Fault::code ? "CodeError"
                                                    : "IndexFileError";
    const py::object type = py::module_::import("dsah_infer.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled ranker. Use dsah_infer.HammingIndex, which checks what it is given.";
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const Error& error) {
            raise_in_python(error);
        }
    });
    m.def("available_cores", &available_cores, "Cores allowed by CPU affinity and cgroup quota.");
    m.def(
        "available_isas",
        [] {
            std::vector<std::string> names;
            for (const Kernel* kernel : available_kernels()) names.emplace_back(kernel->name);
            return names;
        },
        "Instruction sets that this machine can run, fastest first.");
    py::class_<Snapshot, std::shared_ptr<Snapshot>>(m, "Snapshot", "A frozen view of the rows.")
        .def_readonly("version", &Snapshot::version, "Counts the changes made before it.")
        .def_readonly("ascending", &Snapshot::ascending, "Whether ids rise with the rows.");
    py::class_<Index>(m, "Index")
        .def(
            py::init([](std::uint32_t bits, std::uint32_t symbol_bits, unsigned threads,
                        const std::string& isa, bool sublinear) {
                return std::make_unique<Index>(Options{bits, symbol_bits, threads, isa, sublinear});
            }),
            py::arg("bits"), py::arg("symbol_bits") = 1, py::arg("threads") = 0,
            py::arg("isa") = "", py::arg("sublinear") = true)
        .def_property_readonly("isa", [](const Index& i) { return i.kernel().name; })
        .def_property_readonly("threads", &Index::threads)
        .def_property_readonly("unchanged", &Index::unchanged)
        .def("__len__", [](const Index& i) { return i.size(); })
        .def("add", &add, py::arg("codes"), py::arg("ids"), py::arg("on_duplicate"))
        .def("remove", &remove_ids, py::arg("ids"))
        .def("build",
             [](Index& index) {
                 Stop stop = python_stop();
                 const py::gil_scoped_release free;
                 index.build(stop);
             })
        .def("explain", &explain)
        .def("stats", &stats)
        .def("compact", &Index::compact, py::call_guard<py::gil_scoped_release>())
        .def("reserve", &Index::reserve, py::arg("rows"))
        .def("get", &get, py::arg("ids"))
        .def("snapshot",
             [](const Index& i) { return std::const_pointer_cast<Snapshot>(i.snapshot()); })
        .def("rows_from", &rows_from, py::arg("snapshot"), py::arg("first"), py::arg("count"))
        .def(
            "search",
            [](Index& index, const Codes& queries, std::size_t k, const std::optional<Ids>& allow,
               const std::optional<Floats>& weights) {
                Request request;
                request.k = k;
                if (weights) request.weights = weights->data();
                return to_grid(run(index, queries, request, allow), k);
            },
            py::arg("queries"), py::arg("k"), py::arg("allow") = std::nullopt,
            py::arg("weights") = std::nullopt)
        .def(
            "range_search",
            [](Index& index, const Codes& queries, std::uint32_t radius,
               std::optional<std::size_t> limit, const std::optional<Ids>& allow,
               const std::optional<Ids>& only_above, std::shared_ptr<Snapshot> snapshot) {
                Request request;
                request.radius = radius;
                if (limit) request.k = *limit;
                if (only_above) request.only_above = only_above->data();
                return to_csr(run(index, queries, request, allow, std::move(snapshot)));
            },
            py::arg("queries"), py::arg("radius"), py::arg("limit") = std::nullopt,
            py::arg("allow") = std::nullopt, py::arg("only_above") = std::nullopt,
            py::arg("snapshot") = nullptr)
        .def(
            "count",
            [](Index& index, const Codes& queries, std::uint32_t radius,
               const std::optional<Ids>& allow) {
                Request request;
                request.radius = radius;
                request.count_only = true;
                const auto results = run(index, queries, request, allow);
                Ids counts(static_cast<py::ssize_t>(results.size()));
                for (std::size_t i = 0; i < results.size(); ++i)
                    counts.mutable_at(static_cast<py::ssize_t>(i)) =
                        results[i].empty() ? 0 : results[i][0].id;
                return counts;
            },
            py::arg("queries"), py::arg("radius"), py::arg("allow") = std::nullopt)
        .def(
            "save",
            [](const Index& index, const std::string& path,
               const std::map<std::string, py::bytes>& sections) {
                Sections copies;
                for (const auto& [name, bytes] : sections) copies[name] = bytes;
                const py::gil_scoped_release free;
                write_index(*index.snapshot(), copies, path);
            },
            py::arg("path"), py::arg("sections"));
    m.def(
        "load",
        [](const std::string& path, bool mapped, bool eager, unsigned threads,
           const std::string& isa, bool sublinear) {
            IndexFile file;
            {
                const py::gil_scoped_release free;
                file = read_index(path, mapped, eager ? Verify::eager : Verify::lazy);
            }
            auto index = std::make_unique<Index>(
                Options{file.layout.bits, file.layout.symbol_bits, threads, isa, sublinear});
            index->adopt(file, eager);
            py::dict sections;
            for (const auto& [name, bytes] : file.sections)
                sections[name.c_str()] = py::bytes(bytes);
            return py::make_tuple(std::move(index), file.layout.bits, file.layout.symbol_bits,
                                  sections);
        },
        py::arg("path"), py::arg("mapped"), py::arg("eager"), py::arg("threads") = 0,
        py::arg("isa") = "", py::arg("sublinear") = true);
}
