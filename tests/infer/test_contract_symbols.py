"""Symbols in their packed form, and those that their arity does not have."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer import HammingIndex
from dsah_infer import contract as contract_module
from dsah_infer.contract import CodeContract, check_symbols, pack_symbols
from dsah_infer.errors import CodeError

FORMS = [(1, 2), (2, 3), (2, 4), (4, 8), (4, 16), (8, 200), (8, 256)]


@pytest.mark.parametrize(("symbol_bits", "arity"), FORMS)
def test_symbols_are_packed_and_checked_one_by_one(symbol_bits, arity, monkeypatch):
    rng = np.random.default_rng(arity)
    segments = 24 // symbol_bits
    symbols = rng.integers(0, arity, (50, segments))
    codes = pack_symbols(symbols, symbol_bits, arity=arity)
    check_symbols(codes, symbol_bits, arity)
    bits = np.unpackbits(codes, axis=1).reshape(50, segments, symbol_bits)
    np.testing.assert_array_equal(bits @ (1 << np.arange(symbol_bits)[::-1]), symbols)
    for wrong in (arity, -1, 1000):
        symbols[7, segments // 2] = wrong
        with pytest.raises(CodeError, match=f"from 0 to {arity - 1}"):
            pack_symbols(symbols, symbol_bits, arity=arity)
    if arity < 1 << symbol_bits:
        monkeypatch.setattr(contract_module, "_BYTES_AT_ONCE", 5)
        symbols[7, segments // 2] = arity
        codes = pack_symbols(symbols, symbol_bits)
        with pytest.raises(CodeError, match="row 7 has a symbol of"):
            check_symbols(codes, symbol_bits, arity)


def test_only_whole_numbers_are_symbols():
    assert pack_symbols(np.zeros((0, 6), int), 4).shape == (0, 3)
    for wrong in ([[0.5, 1.0]], [["1", "2"]], [[None, 1]]):
        with pytest.raises(CodeError, match="expected integers from 0 to 3"):
            pack_symbols(wrong, 2)


def test_an_index_refuses_symbols_that_its_contract_does_not_have():
    contract = CodeContract(method="doh", bits=20, symbol_bits=4, arity=8, space="s")
    good, bad = (pack_symbols([[value] * 5], 4) for value in (7, 8))
    made, taken = (
        HammingIndex(20, symbol_bits=4, contract=contract),
        HammingIndex(20, symbol_bits=4),
    )
    for index, given in ((made, None), (made, contract), (taken, contract)):
        with pytest.raises(CodeError, match="row 0 has a symbol of 8 or more"):
            index.add(bad, contract=given)
        assert len(index) == 0
    assert taken.contract is None
    assert taken.add(good, contract=contract) == made.add(good) == 1
