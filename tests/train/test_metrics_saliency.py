"""Pointing game and saliency mass on maps whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer.errors import UsageError
from dsah_train.metrics import score_saliency
from dsah_train.metrics.saliency import mass_inside, pointing_hits
from tests import reference


def test_mask_itself_scores_one_and_its_complement_zero():
    mask = np.zeros((2, 8, 8), dtype=bool)
    mask[0, 2:4, 2:4] = mask[1, 7, 7] = True
    score = score_saliency(mask.astype(np.float32), mask)
    assert (score.pictures, score.pointing, score.mass) == (2, 1, 1)
    assert score.area == pytest.approx((4 + 1) / 128)
    score = score_saliency((~mask).astype(np.float32), mask)
    assert (score.pointing, score.mass) == (0, 0)


def test_uniform_saliency_scores_the_area():
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, 1, :] = True
    flat = np.full((1, 4, 4), 0.5, dtype=np.float32)
    assert mass_inside(flat, mask) == pytest.approx(4 / 16)
    # Among equal maxima the first in row-major order counts: here (0, 0), off the mask.
    assert not pointing_hits(flat, mask)[0]
    mask[0, 0, 0] = True
    assert pointing_hits(flat, mask)[0]


def test_zero_saliency_has_no_mass():
    mask = np.ones((1, 4, 4), dtype=bool)
    assert mass_inside(np.zeros((1, 4, 4), np.float32), mask) == 0


def test_pointing_equals_slow_twin():
    rng = np.random.default_rng(0)
    saliency = rng.integers(0, 5, (30, 6, 6)).astype(np.float32)
    mask = rng.random((30, 6, 6)) < 0.4
    mask[:, 5, 5] = True
    want = [reference.pointing_hit(s, m) for s, m in zip(saliency, mask, strict=True)]
    assert pointing_hits(saliency, mask).tolist() == want


@pytest.mark.parametrize(
    ("saliency", "mask", "word"),
    [
        (np.ones((1, 4, 4)), np.ones((1, 4, 5), bool), "equal shapes"),
        (np.ones((1, 4, 4)), np.zeros((1, 4, 4), bool), "at least one pixel"),
        (np.ones((1, 4, 4)), np.ones((1, 4, 4)), "bool"),
        (-np.ones((1, 4, 4)), np.ones((1, 4, 4), bool), "negative"),
    ],
)
def test_wrong_input_is_named(saliency, mask, word):
    with pytest.raises(UsageError, match=word):
        score_saliency(saliency, mask)
