"""The core built by CMake: its own tests, and programs that use it in both ways."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[1] / "csrc"
USES = {
    "installed": "find_package(dsah_core 1.0 REQUIRED)",
    "beside": f'add_subdirectory("{CSRC}" core)',
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("cmake") or not shutil.which(os.environ.get("CXX", "c++")),
        reason="needs cmake and a C++ compiler on the PATH",
    ),
]


def run(*command, cwd=None):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def build(source, folder, *options):
    run("cmake", "-S", source, "-B", folder, *options)
    run("cmake", "--build", folder, "--parallel", "2")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The core, built, and installed under ``prefix``."""
    folder = tmp_path_factory.mktemp("cmake")
    build(CSRC, folder / "build")
    run("cmake", "--install", folder / "build", "--prefix", folder / "prefix")
    return folder


def test_its_tests_and_the_example_run(built):
    out = run("ctest", "--output-on-failure", cwd=built / "build")
    assert "100% tests passed, 0 tests failed" in out
    out = run(built / "build" / "search", cwd=built)
    assert out.startswith("id 0 at distance 0 ")
    assert "100000 codes" in out


#: Names that another project may well have for headers of its own.
ALONE = """
#if __has_include(<index.hpp>) || __has_include(<pool.hpp>) || __has_include(<error.hpp>)
#error "headers of the core are found without dsah/"
#endif
"""


@pytest.mark.parametrize("use", USES)
def test_another_project_uses_it(use, built, tmp_path):
    (tmp_path / "main.cpp").write_text(ALONE + (CSRC / "examples" / "search.cpp").read_text())
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\n"
        "project(another CXX)\n"
        f"{USES[use]}\n"
        "add_executable(another main.cpp)\n"
        "target_link_libraries(another PRIVATE dsah::core)\n"
    )
    # Without optimisation: this is about finding and linking, and builds in a third of the time.
    build(
        tmp_path,
        tmp_path / "build",
        f"-DCMAKE_PREFIX_PATH={built / 'prefix'}",
        "-DCMAKE_BUILD_TYPE=Debug",
    )
    assert "100000 codes" in run(tmp_path / "build" / "another", cwd=tmp_path)
