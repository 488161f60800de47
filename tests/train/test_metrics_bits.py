"""Bit statistics on codes whose statistics are known, and against a slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer.contract import pack_bits, pack_symbols
from dsah_infer.errors import CodeError
from dsah_train.metrics import code_health
from tests import reference


def test_all_codes_once_is_perfect():
    every = (np.arange(16)[:, None] >> np.arange(4)) & 1
    h = code_health(pack_bits(every), 4)
    assert (h.codes, h.distinct, h.constant_bits) == (16, 16, 0)
    assert h.code_entropy == pytest.approx(4)
    assert (h.balance, h.bit_entropy, h.correlation) == pytest.approx((1, 1, 0))
    assert h.ones == (0.5,) * 4


def test_one_code_is_dead():
    h = code_health(pack_bits(np.ones((5, 12))), 12)
    assert (h.distinct, h.constant_bits) == (1, 12)
    assert (h.balance, h.bit_entropy, h.code_entropy, h.correlation) == (0, 0, 0, 0)


def test_copied_and_negated_bits_are_fully_correlated():
    bit = np.array([[0], [1], [1], [0], [1]])
    h = code_health(pack_bits(np.hstack([bit, bit, 1 - bit])), 3)
    assert h.correlation == pytest.approx(1)
    assert h.distinct == 2


def test_bits_that_no_symbol_sets_are_left_out():
    # Eight values take four bits of storage; the first of them is always 0.
    every = np.array([[a, b] for a in range(8) for b in range(8)])
    h = code_health(pack_symbols(every, 4, arity=8), 8, symbol_bits=4, arity=8)
    assert h.constant_bits == 0
    assert h.ones == (0.5,) * 6
    assert (h.balance, h.bit_entropy) == (1, 1)
    assert code_health(pack_symbols(every, 4), 8, symbol_bits=4).constant_bits == 2


def test_equals_slow_twin():
    rng = np.random.default_rng(2)
    bits = (rng.random((50, 9)) < rng.random(9)).astype(int)
    h = code_health(pack_bits(bits), 9)
    columns = [[int(v) for v in column] for column in bits.T]
    assert h.bit_entropy == pytest.approx(np.mean([reference.entropy(c) for c in columns]))
    assert h.code_entropy == pytest.approx(reference.entropy([tuple(row) for row in bits.tolist()]))
    varying = [c for c in columns if 0 < sum(c) < 50]
    pairs = [abs(np.corrcoef(a, b)[0, 1]) for i, a in enumerate(varying) for b in varying[i + 1 :]]
    assert h.correlation == pytest.approx(np.mean(pairs))
    with pytest.raises(CodeError):
        code_health(bits, 9)
