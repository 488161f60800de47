"""The commands of docs/training.md are commands, and their settings are valid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dsah_train.__main__ import build_parser, config_from

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_parses(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("lr: 0.002\nepochs: 5\nbits: 12\n")
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m, module) == ("python", "-m", "dsah_train")
    args = build_parser().parse_args(arguments)
    if args.verb == "fit":
        config = config_from(args)
        if args.config:
            # The file wins over the preset, --set and the flag over the file.
            assert (config.lr, config.epochs, config.bits) == (0.002, 12, 24)


def test_every_method_is_in_the_table() -> None:
    from dsah_train.config import METHODS

    assert all(f"`{method}`" in TEXT for method in METHODS)
