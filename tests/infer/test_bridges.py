"""Codes pass through NumPy files, FAISS and PostgreSQL text unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer import HammingIndex, bridges
from dsah_infer.contract import CodeContract
from dsah_infer.errors import CodeError, UsageError
from tests.infer.ranking_reference import random_codes


@pytest.mark.parametrize("bits", [12, 64])
def test_npy_round_trip(bits, tmp_path):
    codes = random_codes(np.random.default_rng(0), 50, bits)
    index = HammingIndex(bits)
    index.add(codes, np.arange(50) * 3)
    index.remove([0])
    ids = bridges.to_npy(index, tmp_path / "codes.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), codes[1:])
    again = bridges.from_npy(tmp_path / "codes.npy", bits, ids=ids)
    np.testing.assert_array_equal(again.get(ids), codes[1:])
    assert [p.name for p in tmp_path.iterdir()] == ["codes.npy"]
    for content in (b"not an array", b""):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(CodeError):
            bridges.from_npy(tmp_path / "other", bits)


def test_npy_of_symbols(tmp_path):
    contract = CodeContract(method="doh", bits=12, symbol_bits=4, arity=8, info_bits=9)
    codes = random_codes(np.random.default_rng(2), 30, 12) & np.uint8(0x77)  # 8-ary
    index = HammingIndex(12, symbol_bits=4, contract=contract)
    index.add(codes)
    bridges.to_npy(index, tmp_path / "a.npy")
    again = bridges.from_npy(tmp_path / "a.npy", 12, symbol_bits=4, contract=contract)
    found, expected = again.search(codes, 5), index.search(codes, 5)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    index = HammingIndex(12)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "missing" / "a.npy", tmp_path / "folder"):
        with pytest.raises(OSError, match="directory") as failed:
            bridges.to_npy(index, path)
        assert (failed.value.filename, failed.value.filename2) == (str(path), None)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("bits", [12, 64])
def test_faiss_round_trip(bits):
    faiss = pytest.importorskip("faiss", reason="needs faiss-cpu")
    codes = random_codes(np.random.default_rng(1), 200, bits)
    index = HammingIndex(bits)
    index.add(codes, np.arange(200)[::-1])
    flat, ids = bridges.to_faiss(index)
    assert isinstance(flat, faiss.IndexBinaryFlat)
    np.testing.assert_array_equal(flat.search(codes[:5], 9)[0], index.search(codes[:5], 9)[0])
    again = bridges.from_faiss(flat, bits)
    np.testing.assert_array_equal(again.get(np.arange(200)), index.get(ids))
    again = bridges.from_faiss(flat, bits, ids=ids)
    np.testing.assert_array_equal(again.get(ids), index.get(ids))
    with pytest.raises(UsageError, match="IndexBinaryFlat"):
        bridges.from_faiss(index)
    with pytest.raises(UsageError, match="symbols"):
        bridges.to_faiss(HammingIndex(8, symbol_bits=2))


def test_pgvector_text():
    codes = np.array([[0b10100000, 0b11110000], [0, 0b00010000]], np.uint8)
    texts = bridges.to_pgvector(codes, 12)
    assert texts == ["101000001111", "000000000001"]
    np.testing.assert_array_equal(bridges.from_pgvector(texts, 12), codes)
    assert bridges.from_pgvector([], 12).shape == (0, 2)
    for bad in ("10100000111", "10100000111x", 5):
        with pytest.raises(CodeError, match="value 0"):
            bridges.from_pgvector([bad], 12)
