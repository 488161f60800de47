// The border to Python: dtypes, shapes, the GIL, signals, errors. Nothing is computed here.
//
// Whatever may wait for one of the core's locks gives the GIL back first: the holder of the lock
// may be asking Python whether Ctrl-C was pressed.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "index.hpp"

namespace dsah {
namespace python {

namespace py = pybind11;

// C order is asked for, so strided and Fortran arrays are copied once on the way in.
using Codes = py::array_t<std::uint8_t, py::array::c_style>;
using Ids = py::array_t<std::int64_t, py::array::c_style>;
using Rows = py::array_t<std::uint32_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;
using Distances = py::array_t<std::int32_t>;

/// Stops a long call when Python has a signal to deliver (Ctrl-C on the main thread).
inline Stop stop_on_signal() {
    return Stop([] {
        const py::gil_scoped_acquire gil;
        return PyErr_CheckSignals() != 0;
    });
}

inline std::size_t length(const py::array& array) {
    return static_cast<std::size_t>(array.shape(0));
}

template <class Array>
Array new_array(std::size_t rows, std::size_t columns) {
    return Array({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(columns)});
}
template <class Array>
Array new_array(std::size_t rows) {
    return Array(static_cast<py::ssize_t>(rows));
}

inline const std::uint8_t* code_data(const Codes& codes, const Layout& layout) {
    if (codes.ndim() != 2 || codes.shape(1) != static_cast<py::ssize_t>(layout.bytes))
        throw Error(Fault::code, "expected codes of shape (n, " + std::to_string(layout.bytes) +
                                     "), uint8, packed");
    return codes.data();
}

using IndexClass = py::class_<Index>;
void bind_errors(py::module_& m);
void bind_changes(IndexClass& index);
void bind_rows(py::module_& m, IndexClass& index);
void bind_searches(IndexClass& index);
void bind_reports(IndexClass& index);
void bind_files(py::module_& m, IndexClass& index);

}  // namespace python
}  // namespace dsah
