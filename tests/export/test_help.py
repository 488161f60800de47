"""What a user reads before the first call: valid examples, and the default of each option."""

from __future__ import annotations

import argparse
import importlib
import re
import runpy
import shlex
import sys
from importlib import util
from pathlib import Path

import pytest

from tests.export.conftest import ROOT, run_script

SCRIPTS = ("to_onnx", "verify", "to_tensorrt", "to_triton", "cost")


def parser_of(script: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = importlib.import_module(f"export.{script}").parser()
    return parser


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_examples_are_calls_that_the_script_takes(script: str) -> None:
    text = parser_of(script).format_help()
    examples = re.findall(rf"^  python export/{script}\.py (.+)$", text, re.MULTILINE)
    assert len(examples) >= 2
    for example in examples:
        parser_of(script).parse_args(shlex.split(example))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_states_its_default(script: str) -> None:
    for action in parser_of(script)._actions:
        if not action.option_strings or action.required or action.nargs == 0:
            continue
        if action.dest == "calibrate":  # needed with int8, refused without: it has none
            continue
        assert "default: " in str(action.help), action.option_strings
        if action.default is not None:
            shown = re.search(r"default: ([^):]+)", str(action.help))
            assert shown is not None
            assert type(action.default)(shown[1]) == action.default


def test_help_comes_from_any_folder_without_a_traceback(tmp_path: Path) -> None:
    done = run_script("to_triton", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


@pytest.mark.parametrize(("script", "package"), [("to_triton", "onnx"), ("verify", "matplotlib")])
def test_a_missing_package_is_named_with_the_extra(
    script: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(util, "find_spec", lambda n, *a: None if n == package else found(n, *a))
    monkeypatch.delitem(sys.modules, "export.requirements", raising=False)
    with pytest.raises(SystemExit, match=rf"{package}: pip install -e '\.\[export\]'"):
        runpy.run_path(str(ROOT / "export" / f"{script}.py"), run_name="__main__")


@pytest.mark.parametrize(
    ("script", "work", "arguments"),
    [
        ("to_onnx", "load_checkpoint", ["ckpt.pt"]),
        ("verify", "load_checkpoint", ["m.onnx", "--against", "ckpt.pt", "--data", "pictures"]),
        ("to_tensorrt", "export_plan", ["m.onnx"]),
        ("to_triton", "export_repository", ["m.onnx"]),
        ("cost", "read_model", ["m.onnx"]),
    ],
)
def test_ctrl_c_is_a_line_and_its_own_exit_code(
    script: str,
    work: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    module = importlib.import_module(f"export.{script}")
    monkeypatch.setattr(module, work, pressed)
    assert module.main(arguments) == 130
    assert capsys.readouterr().err.startswith(f"{script}: interrupted")
