"""The fused graph before its export, against numpy and the trainer's own encoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsah_infer.contract import pack_symbols
from dsah_train.encode import encode
from export.graph import FusedEncoder, first_largest, pack
from export.pictures import fixed_pictures
from tests.export.tiny_models import SIZE, ordinal_checkpoint, write_checkpoint


@given(
    segments=st.integers(1, 70), symbol_bits=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 99)
)
def test_packing_is_that_of_the_contract(segments: int, symbol_bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, 2**symbol_bits, (3, segments))
    packed = pack(torch.from_numpy(symbols.astype(np.float32)), symbol_bits)
    assert packed.dtype == torch.uint8
    np.testing.assert_array_equal(packed.numpy(), pack_symbols(symbols, symbol_bits))


@given(arity=st.sampled_from([2, 4, 8, 16]), seed=st.integers(0, 99))
def test_the_lowest_index_wins_a_tie(arity: int, seed: int) -> None:
    # Whole numbers of a small range tie all the time.
    values = np.random.default_rng(seed).integers(-2, 3, (5, 7, arity)).astype(np.float32)
    symbols = first_largest(torch.from_numpy(values))
    np.testing.assert_array_equal(symbols.numpy(), values.argmax(-1))


def test_zero_and_negative_zero_are_bit_one() -> None:
    checkpoint = ordinal_checkpoint(4, 2)
    contract = checkpoint.contract.replace(arity=2, activations=4)
    fused = FusedEncoder(checkpoint.model, contract)
    activations = torch.tensor([[0.0, -0.0, 1e-45, -1e-45]])
    assert fused.symbols(activations).tolist() == [[1, 1, 1, 0]]


@pytest.mark.parametrize("arity", [2, 4, 8, 16])
def test_ordinal_codes_are_those_of_the_trainer(arity: int) -> None:
    checkpoint = ordinal_checkpoint(5, arity)
    images = fixed_pictures(SIZE, 9)
    ours = encode(checkpoint.model, images, checkpoint.contract)
    with torch.no_grad():
        codes, activations = FusedEncoder(checkpoint.model, checkpoint.contract)(
            torch.from_numpy(images)
        )
    np.testing.assert_array_equal(codes.numpy(), ours.codes)
    np.testing.assert_allclose(activations.numpy(), ours.activations, atol=1e-5)


def test_codes_and_saliency_are_those_of_the_trainer(tmp_path) -> None:
    checkpoint = write_checkpoint(tmp_path / "ckpt.pt")
    images = fixed_pictures(SIZE, 9)
    ours = encode(checkpoint.model, images, checkpoint.contract, saliency=True)
    with torch.no_grad():
        codes, activations, saliency = FusedEncoder(checkpoint.model, checkpoint.contract)(
            torch.from_numpy(images)
        )
    np.testing.assert_array_equal(codes.numpy(), ours.codes)
    np.testing.assert_allclose(activations.numpy(), ours.activations, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(saliency.numpy(), ours.saliency, atol=1e-3)
