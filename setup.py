"""Builds the one compiled module, `dsah_infer._core`; everything else is in pyproject.toml.

Compiled at the ABI floor of the machine type, never with -march=native: faster kernels carry
their instruction set per function and are chosen at run time, so a wheel runs everywhere.
"""

from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup

HERE = Path(__file__).parent
FOLDERS = ("csrc", "csrc/python")
ParallelCompile("DSAH_BUILD_JOBS", default=2).install()

core = Pybind11Extension(
    "dsah_infer._core",
    sources=sorted(str(p.relative_to(HERE)) for f in FOLDERS for p in (HERE / f).glob("*.cpp")),
    depends=sorted(str(p.relative_to(HERE)) for f in FOLDERS for p in (HERE / f).glob("*.hpp")),
    include_dirs=["csrc"],
    cxx_std=17,
    extra_compile_args=["-O3", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
)

setup(ext_modules=[core])
