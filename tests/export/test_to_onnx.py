"""Exported files: what is in them, that they agree with torch, that bad ones never appear."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from dsah_infer import Encoder
from dsah_infer.errors import ExportError, OutputError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_train.checkpoint import Checkpoint
from dsah_train.config import METHODS
from dsah_train.encode import Codes, encode
from export.cost import graph_cost
from export.gate import Budget
from export.parity import compare, run_onnx, tie_bound
from export.pictures import fixed_pictures
from export.to_onnx import Recipe, export_onnx, judge
from tests.export.conftest import ROOT, move_bias, run_script
from tests.export.tiny_models import SIZE, method_checkpoint, write_checkpoint


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int, list[int | str]]]:
    return {
        v.name: (
            v.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim],
        )
        for v in (*model.graph.input, *model.graph.output)
    }


def test_the_graph_is_the_agreed_one(dsah: tuple[Checkpoint, Path]) -> None:
    model = onnx.load(dsah[1] / "model.onnx")
    assert shapes(model) == {
        "images": (TensorProto.UINT8, ["N", SIZE, SIZE, 3]),
        "codes": (TensorProto.UINT8, ["N", 2]),
        "activations": (TensorProto.FLOAT, ["N", 12]),
        "saliency": (TensorProto.FLOAT, ["N", SIZE, SIZE]),
    }
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"BitShift", "BitwiseAnd", "BitwiseOr", "ArgMax", "BatchNormalization"}
    assert model.graph.node[0].op_type == "Cast"  # TensorRT takes uint8 at the border only


def test_the_contract_is_the_checkpoints_with_an_own_fingerprint(
    dsah: tuple[Checkpoint, Path],
) -> None:
    contract = read_model(dsah[1] / "model.onnx").contract
    given = dsah[0].contract
    assert contract.fingerprint != given.fingerprint
    assert contract.replace(fingerprint="") == given.replace(fingerprint="")


def test_the_file_carries_no_path_of_this_machine(dsah: tuple[Checkpoint, Path]) -> None:
    content = (dsah[1] / "model.onnx").read_bytes()
    for path in (str(ROOT), "site-packages", "stack_trace"):
        assert path.encode() not in content


def test_equal_checkpoints_give_equal_files(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    export_onnx(dsah[0], tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (dsah[1] / "model.onnx").read_bytes()


@pytest.mark.parametrize("batch", [1, 2, 3, 17])
def test_every_batch_size_gives_torchs_bits(dsah: tuple[Checkpoint, Path], batch: int) -> None:
    checkpoint, folder = dsah
    images = fixed_pictures(SIZE)
    ours = encode(checkpoint.model, images, checkpoint.contract, saliency=True)
    model = read_model(folder / "model.onnx")
    parity = compare(ours, run_onnx(model, images, batches=(batch,)), model.contract)
    assert parity.largest_flip < tie_bound(ours.activations)
    assert parity.flip_rate <= 1e-4
    assert parity.saliency_gap < 1e-3


def test_the_encoder_gives_the_same_codes(dsah: tuple[Checkpoint, Path]) -> None:
    images = fixed_pictures(SIZE, 5)
    with Encoder(dsah[1] / "model.onnx", device="cpu", threads=1) as encoder:
        codes = encoder.encode(images)
    np.testing.assert_array_equal(codes, encode(dsah[0].model, images, dsah[0].contract).codes)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v3_small", "alexnet", "vgg16"])
def test_every_backbone_exports(backbone: str, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone=backbone)
    written = export_onnx(checkpoint, tmp_path / "model.onnx")
    assert written.parity.pictures == 21
    operators = {n.op_type for n in onnx.load(tmp_path / "model.onnx").graph.node}
    assert "BatchNormalization" not in operators


@pytest.mark.parametrize("method", METHODS)
def test_every_method_exports(method: str, tmp_path: Path) -> None:
    """The network that each method of the registry really trains, not a stand-in for it."""
    checkpoint = method_checkpoint(tmp_path / "ckpt.pt", method)
    written = export_onnx(checkpoint, tmp_path / "model.onnx")
    contract = written.model.contract
    assert contract.method == method
    assert contract.has_saliency == ("saliency" in shapes(onnx.load(tmp_path / "model.onnx")))
    assert (contract.symbol_bits > 1) == (method == "doh")
    assert written.parity.pictures == 21
    images = fixed_pictures(SIZE)
    ours = encode(checkpoint.model, images, checkpoint.contract)
    with Encoder(tmp_path / "model.onnx", device="cpu", threads=1) as encoder:
        theirs = Codes(encoder.encode(images), encoder.activations(images))
    parity = compare(ours, theirs, contract)
    assert parity.largest_flip < tie_bound(ours.activations)
    assert parity.flip_rate <= 1e-4


def test_attention_at_half_the_side_exports(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", attention_scale=0.5)
    assert checkpoint.config.attention_scale == 0.5
    written = export_onnx(checkpoint, tmp_path / "model.onnx")
    assert written.parity.flip_rate <= 1e-4
    assert written.parity.saliency_gap < 1e-3
    half, whole = (graph_cost(read_model(f / "model.onnx")) for f in (tmp_path, dsah[1]))
    assert half.parameters == whole.parameters
    assert half.macs < 0.7 * whole.macs  # an attention of a quarter, and hashing as before


def test_a_normalised_hash_layer_is_one_layer_of_the_graph(
    dsah: tuple[Checkpoint, Path], tmp_path: Path
) -> None:
    plain = write_checkpoint(tmp_path / "ckpt.pt", code_norm=False)
    assert export_onnx(plain, tmp_path / "model.onnx").parity.flip_rate <= 1e-4
    networks = (plain.model.state_dict(), dsah[0].model.state_dict())
    assert ["hashing.hash.norm.running_var" in state for state in networks] == [False, True]
    graphs = (onnx.load(folder / "model.onnx").graph for folder in (tmp_path, dsah[1]))
    nodes, folded = ([node.op_type for node in graph.node] for graph in graphs)
    assert nodes == folded


def test_a_method_without_attention_has_two_outputs(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", method="dpsh", backbone="alexnet", bits=16)
    export_onnx(checkpoint, tmp_path / "model.onnx")
    assert set(shapes(onnx.load(tmp_path / "model.onnx"))) == {"images", "codes", "activations"}


def test_the_saliency_output_can_be_left_out(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    written = export_onnx(dsah[0], tmp_path / "m.onnx", Recipe(saliency=False, opset=18))
    model = onnx.load(tmp_path / "m.onnx")
    assert set(shapes(model)) == {"images", "codes", "activations"}
    assert not written.model.contract.has_saliency
    assert written.model.contract.space == dsah[0].contract.space
    assert [o.version for o in model.opset_import] == [18]


def test_ordinal_codes_export(ordinal: tuple[Checkpoint, Path]) -> None:
    checkpoint, folder = ordinal
    images = fixed_pictures(SIZE)
    model = read_model(folder / "model.onnx")
    assert (model.contract.symbol_bits, model.contract.arity) == (2, 4)
    theirs = run_onnx(model, images, batches=(4,))
    ours = encode(checkpoint.model, images, checkpoint.contract)
    np.testing.assert_array_equal(theirs.codes, ours.codes)
    assert theirs.activations.shape == (21, 24)


@pytest.mark.parametrize(
    ("by", "budget", "says"),
    [
        (1e3, Budget(), r"bits flip, allowed 0\.010%"),
        (np.nan, Budget(max_flip_rate=1.0), "21 activations are infinite or no numbers"),
    ],
)
def test_a_graph_that_disagrees_is_refused(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, by: float, budget: Budget, says: str
) -> None:
    """One bias of the hash layer is moved: the gate must see the flipped bits."""
    moved = move_bias(dsah[1] / "model.onnx", tmp_path / "moved.onnx", by)
    with pytest.raises(ExportError, match=says):
        judge(moved, dsah[0], fixed_pictures(SIZE), budget, None)


def test_a_checkpoint_that_diverged_is_not_exported(tmp_path: Path) -> None:
    """Its codes are all zeros in torch and in onnxruntime alike: no bit flips."""
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone="alexnet", method="dpsh")
    torch.nn.init.constant_(checkpoint.model.hashing.hash.bias, float("nan"))
    with pytest.raises(ExportError, match=r"252 of 252 activations .* its training diverged"):
        export_onnx(checkpoint, tmp_path / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["ckpt.pt"]


def test_over_budget_leaves_the_old_file_and_nothing_else(
    dsah: tuple[Checkpoint, Path], int8_recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"the last good one")
    with pytest.raises(ExportError, match="--max-flip-rate"):
        export_onnx(dsah[0], out, int8_recipe, budget=Budget(max_flip_rate=0.0))
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert out.read_bytes() == b"the last good one"


@pytest.mark.parametrize("opset", [18, 25, *(pytest.param(o, marks=pytest.mark.slow) for o in
                                             (19, 21, 22, 23, 24))])  # fmt: skip
def test_every_allowed_opset_is_what_is_written(tmp_path: Path, opset: int) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone="alexnet", method="dpsh")
    export_onnx(checkpoint, tmp_path / "m.onnx", Recipe(opset=opset))
    model = onnx.load(tmp_path / "m.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]


@pytest.mark.parametrize("opset", [17, 26, 99])
def test_an_untested_opset_is_refused(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, opset: int
) -> None:
    with pytest.raises(UsageError, match="allowed: 18 to 25"):
        export_onnx(dsah[0], tmp_path / "m.onnx", Recipe(opset=opset))


@pytest.mark.parametrize("place", ["a-file/m.onnx", "/proc/self/m.onnx", "x" * 300 + ".onnx"])
def test_a_place_that_cannot_be_written_is_named(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, place: str
) -> None:
    (tmp_path / "a-file").write_bytes(b"no folder")
    with pytest.raises(OutputError, match=r"cannot be written \(.*another place with -o"):
        export_onnx(dsah[0], tmp_path / place)
    assert [p.name for p in tmp_path.iterdir()] == ["a-file"]


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path: Path) -> None:
    """A limit on the size of files ends a write as a full disk does: in the middle."""
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt", backbone="alexnet", method="dpsh")
    (tmp_path / "old.onnx").write_bytes(b"the last good one")
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        for out in (tmp_path / "old.onnx", tmp_path / "new/folder/m.onnx"):
            with pytest.raises(OutputError, match=re.escape(f"{out} cannot be written (File too")):
                export_onnx(checkpoint, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ckpt.pt", "old.onnx"]
    assert (tmp_path / "old.onnx").read_bytes() == b"the last good one"


def test_the_command_runs_from_any_folder(dsah: tuple[Checkpoint, Path], tmp_path: Path) -> None:
    done = run_script("to_onnx", dsah[1] / "ckpt.pt", "-o", "out/m.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 of 252 bits differ" in done.stdout
    assert (tmp_path / "out/m.onnx").read_bytes() == (dsah[1] / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.pt"], 1, "no such file"),
        (["broken.pt"], 1, "not a readable checkpoint"),
        (["ckpt.pt", "--precision", "int8"], 2, "--calibrate"),
        (["ckpt.pt", "--target", "cpu"], 2, "belong to --precision int8"),
        (["ckpt.pt", "--max-flip-rate", "nan"], 2, "--max-flip-rate nan; allowed: 0 to 1"),
        (["ckpt.pt", "-o", "ckpt.plan"], 2, "end it with .onnx"),
        (["ckpt.pt", "--data", "nowhere"], 1, "nowhere"),
    ],
)
def test_bad_usage_says_what_is_wrong_and_writes_nothing(
    dsah: tuple[Checkpoint, Path], tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "broken.pt").write_bytes(b"not a checkpoint")
    (tmp_path / "ckpt.pt").write_bytes((dsah[1] / "ckpt.pt").read_bytes())
    done = run_script("to_onnx", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.pt", "ckpt.pt"]


@pytest.mark.slow
def test_the_papers_pair_exports_at_full_size(tmp_path: Path) -> None:
    """Two VGG-16 with 4096-wide layers: 1.07 GB, within the 2 GB of one protobuf file."""
    checkpoint = write_checkpoint(
        tmp_path / "ckpt.pt", backbone="vgg16", fc_dim=4096, image_size=224, bits=48
    )
    written = export_onnx(checkpoint, tmp_path / "model.onnx")
    assert 1.0e9 < len(written.model.data) < 1.2e9
