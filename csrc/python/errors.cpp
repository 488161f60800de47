#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

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

void bind_errors(py::module_&) {
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const Error& error) {
            raise_in_python(error);
        }
    });
}

}  // namespace python
}  // namespace dsah
