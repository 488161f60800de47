"""dsah_infer never imports torch, nor anything of the training side."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dsah_infer

PACKAGE = Path(dsah_infer.__file__).parent
FORBIDDEN = {"torch", "torchvision", "onnx", "dsah_train", "export"}


def test_every_module_imports_while_torch_raises(tiny: Path) -> None:
    script = f"""
import builtins, importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FORBIDDEN!r}:
            raise ImportError(name + " was imported")

sys.meta_path.insert(0, Refuse())
import dsah_infer
names = [m.name for m in pkgutil.walk_packages(dsah_infer.__path__, "dsah_infer.")]
for name in names:
    importlib.import_module(name)
from dsah_infer import Encoder, HammingIndex
import numpy as np
encoder = Encoder({str(tiny)!r})
index = encoder.new_index()
index.add(encoder.encode(np.zeros((2, 40, 40, 3), np.uint8)))
assert not {FORBIDDEN!r} & set(sys.modules), set(sys.modules)
print(len(names))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_no_source_names_them_either(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        assert not {name.partition(".")[0] for name in names} & FORBIDDEN
