"""Foreign, damaged and tampered model files are refused before inference."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from dsah_infer import Encoder
from dsah_infer.contract import METADATA_KEY, CodeContract, PixelRule
from dsah_infer.errors import ContractError, DsahError, ModelFileError
from dsah_infer.onnx_file import read_model, seal
from tests.infer.tiny_model import tiny_contract, tiny_proto

CONTRACT = tiny_contract()
GRAPH = tiny_proto(CONTRACT).SerializeToString()
SEALED = seal(GRAPH, CONTRACT)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], Encoder]:
    """Open a file with the given bytes."""

    def open_bytes(content: bytes) -> Encoder:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return Encoder(path, threads=1)

    return open_bytes


Open = Callable[[bytes], Encoder]


def with_contract(text: str) -> bytes:
    """The graph with any text as its contract."""
    model = tiny_proto(CONTRACT)
    helper.set_model_props(model, {METADATA_KEY: text})
    return model.SerializeToString()


def resealed(change: Callable[[ModelProto], None], contract: CodeContract = CONTRACT) -> bytes:
    """A changed graph with an honest fingerprint: only the graph check can notice."""
    model = tiny_proto(CONTRACT)
    change(model)
    return seal(model.SerializeToString(), contract)


def test_a_sealed_file_opens_and_is_valid_onnx(opened: Open) -> None:
    onnx.checker.check_model(onnx.load_model_from_string(SEALED), full_check=True)
    with opened(SEALED) as encoder:
        assert encoder.contract.replace(fingerprint="") == CONTRACT
        assert len(encoder.fingerprint) == 32


def test_sealing_again_replaces_the_contract() -> None:
    assert seal(SEALED, CONTRACT) == SEALED
    other = seal(SEALED, CONTRACT.replace(space="elsewhere"))
    assert other != SEALED
    assert other.count(METADATA_KEY.encode()) == 1


def test_a_file_written_anew_by_the_onnx_package_keeps_its_fingerprint(opened: Open) -> None:
    again = onnx.load_model_from_string(SEALED).SerializeToString()
    assert opened(again).fingerprint == opened(SEALED).fingerprint


def test_fingerprints_tell_weights_and_contracts_apart(opened: Open) -> None:
    prints = {
        opened(seal(tiny_proto(contract, seed).SerializeToString(), contract)).fingerprint
        for contract in (CONTRACT, CONTRACT.replace(precision="fp16"))
        for seed in (0, 1)
    }
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "not an ONNX file"),
        (b"\x08\x0a" + b"\xff" * 40, "damaged or not an ONNX file"),
        (SEALED[: len(SEALED) // 2], "damaged|entries"),
        (tiny_proto(CONTRACT).SerializeToString(), "0 entries 'dsah.contract'"),
        (SEALED + SEALED[-2000:], "damaged|entries|changed"),
        (with_contract("no json"), "not JSON"),
        (with_contract("{}"), "no format version"),
        (with_contract("[1]"), "no format version"),
        (with_contract(CONTRACT.to_json()), "changed after its export"),
        (with_contract(CONTRACT.replace(version=99).to_json()), "upgrade dsah"),
        (with_contract(json.dumps({"version": 1, "bits": 12})), "lacks"),
        (with_contract(CONTRACT.to_json().replace('"arity":2', '"arity":3')), "arity = 3 with"),
        (
            seal(GRAPH, CONTRACT.replace(pixels=PixelRule(size=32, version=2))),
            "pixel rule version 2",
        ),
        (seal(GRAPH, CONTRACT.replace(pixels=PixelRule(size=32, filter="x"))), "filter 'x'"),
    ],
)
def test_foreign_files(opened: Open, content: bytes, says: str) -> None:
    with pytest.raises((ModelFileError, ContractError), match=says) as caught:
        opened(content)
    assert "model.onnx" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        Encoder(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        Encoder(tmp_path)


def test_one_changed_weight_is_noticed(opened: Open) -> None:
    model = onnx.load_model_from_string(SEALED)
    (kernel,) = [t for t in model.graph.initializer if t.name == "kernel"]
    raw = bytearray(kernel.raw_data)
    raw[5] ^= 1
    kernel.raw_data = bytes(raw)
    with pytest.raises(ModelFileError, match="changed after its export"):
        opened(model.SerializeToString())


def test_a_changed_contract_is_noticed(opened: Open) -> None:
    model = onnx.load_model_from_string(SEALED)
    text = model.metadata_props[0].value
    model.metadata_props[0].value = text.replace('"space":"tiny-12-0"', '"space":"tiny-12-1"')
    with pytest.raises(ModelFileError, match="changed after its export"):
        opened(model.SerializeToString())


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe.onnx")
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(ModelFileError, match="not a regular file"):
            Encoder(path)
    with (tmp_path / "long.onnx").open("wb") as stream:
        stream.truncate(2**31)
    with pytest.raises(ModelFileError, match="2,147,483,648 bytes; one ONNX file holds at most"):
        Encoder(tmp_path / "long.onnx")
    with pytest.raises(ModelFileError, match="No such file"):
        Encoder(tmp_path / "none.onnx")


def external(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location


def external_initializer(model: ModelProto) -> None:
    external(model.graph.initializer[0], "/etc/passwd")


def external_in_a_branch(model: ModelProto) -> None:
    tensor = TensorProto(name="inner", data_type=TensorProto.FLOAT, dims=[1])
    external(tensor, "../secret.bin")
    branch = helper.make_graph([], "branch", [], [], [tensor])
    model.graph.node.append(
        helper.make_node("If", ["set"], [], then_branch=branch, else_branch=branch)
    )


def external_constant(model: ModelProto) -> None:
    tensor = TensorProto(name="value", data_type=TensorProto.FLOAT, dims=[1])
    external(tensor, "weights.bin")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def external_in_a_function(model: ModelProto) -> None:
    tensor = TensorProto(name="value", data_type=TensorProto.FLOAT, dims=[1])
    external(tensor, "weights.bin")
    node = helper.make_node("Constant", [], ["y"], value=tensor)
    opset = [helper.make_opsetid("", 20)]
    model.functions.append(helper.make_function("mine", "F", [], ["y"], [node], opset))


@pytest.mark.parametrize(
    "change",
    [external_initializer, external_in_a_branch, external_constant, external_in_a_function],
)
def test_weights_in_other_files_are_never_followed(
    opened: Open, change: Callable[[ModelProto], None]
) -> None:
    with pytest.raises(ModelFileError, match="other files"):
        opened(resealed(change))


def test_the_default_data_location_may_be_written_out(opened: Open) -> None:
    def explicit(model: ModelProto) -> None:
        model.graph.initializer[0].data_location = TensorProto.DEFAULT

    opened(resealed(explicit)).close()


def rename_input(model: ModelProto) -> None:
    model.graph.input[0].name = "pictures"
    model.graph.node[0].input[0] = "pictures"


def float_input(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def fixed_batch(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4


def free_sides(model: ModelProto) -> None:
    for dim in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dim.dim_param = "side"


def no_activations(model: ModelProto) -> None:
    del model.graph.output[1]


def extra_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("vector", TensorProto.FLOAT, None))


def nonsense_operator(model: ModelProto) -> None:
    model.graph.node[1].op_type = "Nonsense"


def newer_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 999


@pytest.mark.parametrize(
    ("change", "contract", "says"),
    [
        (rename_input, CONTRACT, "'images' is missing"),
        (float_input, CONTRACT, r"'images' is tensor\(float\)"),
        (fixed_batch, CONTRACT, r"'activations' is tensor\(float\)\[4, 12\]"),
        (free_sides, CONTRACT, r"'images' is tensor\(uint8\)\['n', 'side', 'side', 3\]"),
        (no_activations, CONTRACT, "'activations' is missing"),
        (extra_output, CONTRACT, "expected not to be there"),
        (nonsense_operator, CONTRACT, "refuses it"),
        (newer_opset, CONTRACT, "refuses it"),
        (lambda _: None, CONTRACT.replace(bits=24, activations=24, info_bits=24), "'activations'"),
        (lambda _: None, CONTRACT.replace(bits=16, info_bits=16, activations=12), "12 activations"),
        (lambda _: None, CONTRACT.replace(activations=24), "'activations'"),
        (lambda _: None, CONTRACT.replace(symbol_bits=2, arity=3), "arity 3 in 2 bits"),
        (lambda _: None, CONTRACT.replace(symbol_bits=4, arity=4), "arity 4 in 4 bits"),
        (lambda _: None, CONTRACT.replace(symbol_bits=2, arity=4, activations=12), "expected 24"),
        (lambda _: None, CONTRACT.replace(has_saliency=False), "'saliency'"),
        (lambda _: None, CONTRACT.replace(pixels=PixelRule()),
         r"'images' is tensor\(uint8\)\['n', 32, 32, 3\]"),
    ],
)  # fmt: skip
def test_graph_and_contract_must_fit(
    opened: Open,
    change: Callable[[ModelProto], None],
    contract: CodeContract,
    says: str,
) -> None:
    with pytest.raises(ModelFileError, match=says):
        opened(resealed(change, contract))


def test_outputs_of_another_shape_than_declared_are_refused(opened: Open) -> None:
    def twice(model: ModelProto) -> None:
        model.graph.node[-2].output[0] = "real_codes"
        model.graph.node.append(
            helper.make_node("Concat", ["real_codes", "real_codes"], ["codes"], axis=0)
        )

    encoder = opened(resealed(twice))
    with pytest.raises(ModelFileError, match="does not fit its contract"):
        encoder.encode(np.zeros((3, 40, 40, 3), np.uint8))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_files_never_open(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(SEALED)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path_factory.getbasetemp() / "mutated.onnx"
    path.write_bytes(content)
    if bytes(content) == SEALED:
        assert read_model(path).contract
        return
    with pytest.raises(DsahError):
        read_model(path)
