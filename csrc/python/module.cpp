#include "bindings.hpp"
#include "limits.hpp"

using namespace dsah;
using namespace dsah::python;

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled ranker. Use dsah_infer.HammingIndex, which checks what it is given.";
    bind_errors(m);
    m.def("available_cores", &available_cores, py::arg("root") = "",
          "Cores allowed by CPU affinity and cgroup quota.");
    m.def("available_memory", &available_memory, py::arg("root") = "",
          "Bytes that can still be had, of the machine and in its cgroups.");
    m.def(
        "available_isas",
        [] {
            std::vector<std::string> names;
            for (const Kernel* kernel : available_kernels()) names.emplace_back(kernel->name);
            return names;
        },
        "Instruction sets that this machine can run, fastest first.");
    IndexClass index(m, "Index");
    index
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
        .def("__len__", [](const Index& i) { return i.size(); });
    bind_rows(m, index);
    bind_changes(index);
    bind_searches(index);
    bind_reports(index);
    bind_files(m, index);
}
