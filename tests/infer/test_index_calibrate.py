"""Calibration against plain counting, and its picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dsah_infer import HammingIndex
from dsah_infer.calibrate import calibrate
from dsah_infer.errors import DsahError, UsageError
from tests.infer.ranking_reference import distances, random_codes


def labelled(rng, n=300, bits=32, flip=0.1):
    labels = rng.integers(0, 5, n)
    base = rng.integers(0, 2, (5, bits), dtype=np.uint8)[labels]
    return np.packbits(base ^ (rng.random((n, bits)) < flip), axis=1), labels


@pytest.mark.parametrize("symbol_bits", [1, 4])
def test_calibration_counts_pairs(symbol_bits, tmp_path):
    codes, labels = labelled(np.random.default_rng(0))
    found = calibrate(codes, labels, bits=32, symbol_bits=symbol_bits, precision=0.9)
    table = distances(codes, codes, 32, symbol_bits)
    upper = np.triu(np.ones_like(table, bool), 1)
    equal = labels[:, None] == labels[None]
    for radius in range(32 // symbol_bits + 1):
        inside = upper & (table <= radius)
        hits, pairs = (inside & equal).sum(), inside.sum()
        assert found.same[: radius + 1].sum() == hits
        if pairs:
            assert found.precision[radius] == hits / pairs
            assert (hits / pairs >= 0.9) == (radius <= found.radius)  # no dip in these
        expected = 1000 * (inside & ~equal).sum() / upper.sum()
        assert found.expected_false_hits(radius, 1000) == pytest.approx(expected)
    assert found.recall[-1] == 1
    assert found.expected_false_hits(32, 0) == 0
    found.plot(tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").size[0] > 500


@pytest.mark.parametrize(
    ("bits", "symbol_bits"), [(5, 1), (64, 1), (150, 2), (100, 4), (72, 8), (4096, 1)]
)
def test_pairs_of_many_tiles_are_counted_once(bits, symbol_bits):
    rng = np.random.default_rng(bits)
    n = 300 if bits > 1000 else 1300  # rows of eleven tiles, columns of two
    codes = random_codes(rng, n, bits, distinct=n // 2)
    codes[0], codes[1] = ~codes[2], codes[2]
    codes[0, -1] &= 256 - (1 << -bits % 8)
    labels = rng.integers(-3, 3, n)
    found = calibrate(codes, labels, bits=bits, symbol_bits=symbol_bits)
    same, different = np.zeros((2, bits // symbol_bits + 1), np.int64)
    for one in range(n - 1):
        near = distances(codes[one : one + 1], codes[one + 1 :], bits, symbol_bits)[0]
        for distance, equal in zip(near, labels[one + 1 :] == labels[one], strict=True):
            (same if equal else different)[distance] += 1
    assert (found.same == same).all()
    assert (found.different == different).all()
    assert found.different[-1] + found.same[-1] > 0  # the largest distance was met


@pytest.mark.parametrize("forms", [(12, 8), (12, 3), (0, 1), (12, 0)])
def test_forms_that_no_code_has_are_refused(forms):
    with pytest.raises(DsahError):
        calibrate(np.zeros((2, 2), np.uint8), [0, 1], bits=forms[0], symbol_bits=forms[1])


def test_expected_false_hits_are_what_a_gallery_then_shows():
    rng = np.random.default_rng(1)
    codes, labels = labelled(rng, 4000, 24, 0.15)
    index = HammingIndex(24)
    index.add(codes[2000:])
    found = index.calibrate(codes[:2000], labels[:2000], precision=0.97)
    assert found.gallery_size == 2000
    lims, _, ids = index.range_search(codes[:2000], found.radius)
    wrong = np.repeat(labels[:2000], np.diff(lims)) != labels[2000:][ids]
    assert wrong.sum() / 2000 == pytest.approx(found.expected_false_hits(found.radius), rel=0.1)


def test_a_mislabelled_duplicate_does_not_hide_the_radius(tmp_path):
    codes, labels = labelled(np.random.default_rng(2), bits=64)
    clean = calibrate(codes, labels, bits=64)
    found = calibrate(
        np.vstack([codes, codes[:1]]), np.append(labels, (labels[0] + 1) % 5), bits=64
    )
    assert found.precision[0] == 0  # the only pair at distance 0 is the wrong one
    assert clean.radius - 1 <= found.radius <= clean.radius
    assert found.precision[found.radius] >= 0.95
    assert (found.precision[found.radius + 1 :] < 0.95).all()
    found.plot(tmp_path / "plot.png")


def test_no_radius_is_precise_enough():
    codes = np.zeros((10, 1), np.uint8)
    assert calibrate(codes, np.arange(10), bits=8).radius is None
    same = calibrate(codes, np.zeros(10, int), bits=8)
    assert same.radius == 8
    for bad in (
        {"labels": [0.5] * 10},
        {"labels": range(9)},
        {"labels": [[1], [2, 3]]},
        {"precision": 0},
        {"precision": "0.9"},
        {"precision": float("nan")},
        {"precision": None},
        {"bits": 8.0},
    ):
        with pytest.raises(UsageError):
            calibrate(codes, **{"labels": np.arange(10), "bits": 8, **bad})
