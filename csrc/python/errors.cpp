#include <cstring>

#include "bindings.hpp"

namespace dsah {
namespace python {
namespace {

void raise_in_python(const Error& error) {
    if (error.fault == Fault::interrupted) {
        if (!PyErr_Occurred()) PyErr_SetNone(PyExc_KeyboardInterrupt);
        return;
    }
    const char* name = error.fault == Fault::usage  ? "UsageError"
                       : error.fault == Fault::code ? "CodeError"
                                                    : "IndexFileError";
    const py::object type = py::module_::import("dsah_infer.errors").attr(name);
    PyErr_SetString(type.ptr(), error.what());
}

/// OSError makes itself the subclass that belongs to the number, such as PermissionError.
void raise_os_error(const IoError& error) {
    const std::string text = error.action + ": " + std::strerror(error.number);
    const py::object path = py::module_::import("os").attr("fsdecode")(py::bytes(error.path));
    const py::object raised =
        py::reinterpret_borrow<py::object>(PyExc_OSError)(error.number, text, path);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(raised.ptr())), raised.ptr());
}

}  // namespace

void bind_errors(py::module_&) {
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const IoError& error) {
            raise_os_error(error);
        } catch (const Error& error) {
            raise_in_python(error);
        }
    });
}

}  // namespace python
}  // namespace dsah
