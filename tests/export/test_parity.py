"""Comparison of runs against plain loops, and the gate's decisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dsah_infer.contract import CodeContract
from dsah_infer.errors import UsageError
from dsah_train.encode import Codes, pack_activations
from export.gate import Budget
from export.margin_histogram import margin_histogram
from export.parity import Parity, compare, margins, symbols_of, tie_bound

SIGN = CodeContract(method="dsah", bits=12)
ORDINAL = CodeContract(method="doh", bits=12, symbol_bits=4, arity=8, info_bits=9, activations=24)


def run(contract: CodeContract, seed: int, shift: float = 0.0) -> Codes:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, contract.activations)).astype(np.float32)
    values += shift * np.random.default_rng(99).normal(size=values.shape).astype(np.float32)
    return Codes(pack_activations(values, contract), values)


def slow_margins(activations: np.ndarray, contract: CodeContract) -> np.ndarray:
    out = np.zeros((len(activations), contract.segments), np.float32)
    for i, row in enumerate(activations):
        for s in range(contract.segments):
            if contract.activations == contract.bits:
                out[i, s] = abs(row[s])
            else:
                first, second = sorted(row[s * contract.arity : (s + 1) * contract.arity])[:-3:-1]
                out[i, s] = first - second
    return out


@pytest.mark.parametrize("contract", [SIGN, ORDINAL])
def test_margins_are_those_of_plain_loops(contract: CodeContract) -> None:
    values = run(contract, 0).activations
    np.testing.assert_array_equal(margins(values, contract), slow_margins(values, contract))


@pytest.mark.parametrize("contract", [SIGN, ORDINAL])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_compare_is_that_of_plain_loops(contract: CodeContract, shift: float) -> None:
    ours, theirs = run(contract, 1), run(contract, 1, shift)
    parity = compare(ours, theirs, contract)
    flipped_bits = flipped_symbols = 0
    worst = 0.0
    for i in range(6):
        a, b = (np.unpackbits(r.codes[i], count=contract.bits) for r in (ours, theirs))
        flipped_bits += int((a != b).sum())
        for s in range(contract.segments):
            part = slice(s * contract.symbol_bits, (s + 1) * contract.symbol_bits)
            if (a[part] != b[part]).any():
                flipped_symbols += 1
                worst = max(worst, slow_margins(ours.activations, contract)[i, s])
    assert (parity.flipped_bits, parity.flipped_symbols) == (flipped_bits, flipped_symbols)
    assert parity.largest_flip == pytest.approx(worst)
    assert parity.flip_rate == flipped_bits / (6 * 12)
    assert (flipped_bits > 0) == (shift > 0)


@pytest.mark.parametrize("contract", [SIGN, ORDINAL])
def test_the_histogram_is_that_of_plain_loops(contract: CodeContract) -> None:
    ours, theirs = run(contract, 1), run(contract, 1, 0.3)
    ours.activations[0] = 0  # margins of 0 have no logarithm
    histogram = margin_histogram(ours, [ours, theirs], contract)
    edges = histogram.edges
    counts = np.zeros((2, len(edges) - 1), int)
    margin = slow_margins(ours.activations, contract)
    differs = symbols_of(ours.codes, contract) != symbols_of(theirs.codes, contract)
    for value, differing in zip(margin.ravel(), differs.ravel(), strict=True):
        inside = [b for b in range(len(edges) - 1) if value >= edges[b]] or [0]
        counts[:, inside[-1]] += (1, int(differing))
    assert histogram.all == tuple(counts[0])
    assert histogram.flipped == ((0,) * len(counts[0]), tuple(counts[1]))
    assert 0 < counts[1].sum() < counts[0].sum() == margin.size
    rows = histogram.rows()
    assert [row[1] for row in rows] == [str(n) for n in counts[0] if n]
    assert {len(row) for row in rows} == {4}


def test_symbols_are_read_back() -> None:
    codes = run(ORDINAL, 2)
    expected = codes.activations.reshape(6, 3, 8).argmax(-1)
    np.testing.assert_array_equal(symbols_of(codes.codes, ORDINAL), expected)


def parity(flipped: int, margin: float) -> Parity:
    return Parity(100, 48, flipped, flipped, margin, 1e-6, 1e-3, 0.0)


def test_float_bits_may_flip_at_a_tie_only() -> None:
    tie = tie_bound(np.full((2, 2), 3.0, np.float32))
    assert tie == pytest.approx(3e-4)
    assert Budget(1.0).objections("fp32", parity(1, 1e-5), tie) == []
    assert "margin of 0.1" in Budget(1.0).objections("fp32", parity(1, 0.1), tie)[0]
    assert Budget(1.0).objections("fp16", parity(1, 0.1), tie) == []


def test_float_activations_may_not_drift_either() -> None:
    """They rank hits of equal distance; a shift that flips no bit of these pictures is wrong."""
    drifted = dataclasses.replace(parity(0, 0.0), activation_gap=0.2)
    (objection,) = Budget(1.0).objections("fp32", drifted, 1e-3)
    assert objection.startswith("an activation differs by 0.2; in fp32 at most 0.1 may")
    assert Budget(1.0).objections("int8", drifted, 1e-3) == []
    assert Budget(1.0).objections("fp32", drifted, 2e-3) == []


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 0), ("fp16", 24), ("int8", 144)])
def test_the_default_budget_by_precision(precision: str, allowed: int) -> None:
    assert Budget().objections(precision, parity(allowed, 1e-9), 1.0) == []
    assert "bits flip" in Budget().objections(precision, parity(allowed + 1, 1e-9), 1.0)[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_a_bound_that_nothing_could_break_or_keep_is_refused(value: float) -> None:
    """Nothing is above NaN: such a budget would let everything pass."""
    with pytest.raises(UsageError, match=r"--max-flip-rate .*allowed: 0 to 1"):
        Budget(max_flip_rate=value)
    with pytest.raises(UsageError, match=r"--max-map-drop .*allowed: -1 to 1"):
        Budget(max_map_drop=value * 20)


def test_what_is_no_number_is_an_objection_at_any_budget() -> None:
    """NaN >= 0 is false on both sides: such codes agree, and mean nothing."""
    ours, theirs = run(SIGN, 1), run(SIGN, 1)
    theirs.activations[2, 3] = np.nan
    theirs.activations[4, 5] = np.inf
    found = compare(ours, theirs, SIGN)
    assert (found.flipped_bits, found.not_finite) == (0, 2)
    (objection,) = Budget(1.0).objections("int8", found, 1.0)
    assert objection.startswith("2 activations are infinite or no numbers")


def test_a_loss_of_map_is_an_objection_and_a_gain_is_not() -> None:
    assert Budget().objections("fp32", parity(0, 0), 1.0, -0.5) == []
    assert "MAP@all falls by 0.0021" in Budget().objections("fp32", parity(0, 0), 1.0, 0.0021)[0]
