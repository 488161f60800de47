// add, merge, remove, compact, reserve, build.
#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

OnDuplicate policy(const std::string& on_duplicate) {
    return on_duplicate == "skip"      ? OnDuplicate::skip
           : on_duplicate == "replace" ? OnDuplicate::replace
                                       : OnDuplicate::raise;
}

std::size_t add(Index& index, const Codes& codes, const std::optional<Ids>& ids,
                const std::string& on_duplicate) {
    const std::uint8_t* data = code_data(codes, index.layout());
    const std::size_t count = length(codes);
    if (ids && (ids->ndim() != 1 || length(*ids) != count))
        throw Error(Fault::usage,
                    "ids: expected one id per code, shape (" + std::to_string(count) + ",)");
    const std::int64_t* wanted = ids ? ids->data() : nullptr;
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    return index.add(data, count, wanted, policy(on_duplicate), stop);
}

std::size_t merge(Index& index, const Index& other, const std::string& on_duplicate) {
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    return index.merge(*other.snapshot(stop), policy(on_duplicate), stop);
}

std::size_t remove_ids(Index& index, const Ids& ids) {
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    return index.remove(ids.data(), length(ids), stop);
}

void compact(Index& index) {
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    index.compact(stop);
}

void reserve(Index& index, std::size_t rows) {
    Stop stop = stop_on_signal();
    try {
        const py::gil_scoped_release free;
        index.reserve(rows, stop);
    } catch (const std::bad_alloc&) {
        const std::string what =
            "reserve(" + std::to_string(rows) + "): so much memory cannot be had";
        PyErr_SetString(PyExc_MemoryError, what.c_str());
        throw py::error_already_set();
    }
}

void build(Index& index) {
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    index.build(stop);
}

}  // namespace

void bind_changes(IndexClass& index) {
    index.def("add", &add, py::arg("codes"), py::arg("ids"), py::arg("on_duplicate"))
        .def("merge", &merge, py::arg("other"), py::arg("on_duplicate"))
        .def("remove", &remove_ids, py::arg("ids"))
        .def("compact", &compact)
        .def("reserve", &reserve, py::arg("rows"))
        .def("build", &build);
}

}  // namespace python
}  // namespace dsah
