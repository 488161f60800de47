"""Places that cannot be written: named by every script, and left as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsah_infer.errors import ExportError, OutputError
from dsah_train.checkpoint import Checkpoint
from export.output import writing
from export.to_tensorrt import main as to_tensorrt
from export.to_triton import main as to_triton


def test_folders_are_made_and_stay_with_what_is_in_them(tmp_path: Path) -> None:
    with writing(out := tmp_path / "a/b/c.onnx"):
        out.write_bytes(b"model")
    assert out.read_bytes() == b"model"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(OSError(28, "No space left on device"), OutputError), (ExportError("no"), ExportError)],
)
def test_failure_takes_new_folders_along_and_keeps_old_ones(
    tmp_path: Path, raised: Exception, expected: type[Exception]
) -> None:
    (tmp_path / "old").mkdir()
    with pytest.raises(expected) as caught, writing(tmp_path / "old/a/b/c.onnx"):
        raise raised
    assert [p.name for p in tmp_path.rglob("*")] == ["old"]
    if expected is OutputError:
        assert str(caught.value).endswith(
            "c.onnx cannot be written (No space left on device); name another place with -o"
        )


@pytest.mark.parametrize("script", ["to_tensorrt", "to_triton"])
def test_every_script_says_so(
    ordinal: tuple[Checkpoint, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    script: str,
) -> None:
    (tmp_path / "a-file").write_bytes(b"no folder")
    source = str(ordinal[1] / "model.onnx")
    if script == "to_tensorrt":
        pytest.importorskip("tensorrt_rtx_bindings")
    main = {"to_tensorrt": to_tensorrt, "to_triton": to_triton}[script]
    out = tmp_path / "a-file/out.plan"
    assert main([source, "-o", str(out)]) == 1
    assert f"{script}: {out} cannot be written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["a-file"]
