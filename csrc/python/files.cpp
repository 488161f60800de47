// save and load.
#include "bindings.hpp"
#include "file.hpp"

namespace dsah {
namespace python {
namespace {

void save(const Snapshot& snapshot, const std::string& path,
          const std::map<std::string, py::bytes>& sections) {
    Sections copies;
    for (const auto& [name, bytes] : sections) copies[name] = bytes;
    Stop stop = stop_on_signal();
    const py::gil_scoped_release free;
    write_index(snapshot, copies, path, stop);
}

py::tuple load(const std::string& path, bool mapped, bool eager, unsigned threads,
               const std::string& isa, bool sublinear) {
    IndexFile file;
    std::unique_ptr<Index> index;
    {
        Stop stop = stop_on_signal();
        const py::gil_scoped_release free;
        file = read_index(path, mapped, eager ? Verify::eager : Verify::lazy, stop);
        index = std::make_unique<Index>(
            Options{file.layout.bits, file.layout.symbol_bits, threads, isa, sublinear});
        index->adopt(file, eager);
    }
    py::dict sections;
    for (const auto& [name, bytes] : file.sections) sections[name.c_str()] = py::bytes(bytes);
    return py::make_tuple(std::move(index), file.layout.bits, file.layout.symbol_bits, sections);
}

}  // namespace

void bind_files(py::module_& m, IndexClass&) {
    m.def("save", &save, py::arg("snapshot"), py::arg("path"), py::arg("sections"));
    m.def("load", &load, py::arg("path"), py::arg("mapped"), py::arg("eager"),
          py::arg("threads") = 0, py::arg("isa") = "", py::arg("sublinear") = true);
}

}  // namespace python
}  // namespace dsah
