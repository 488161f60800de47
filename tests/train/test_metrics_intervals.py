"""Bootstrap intervals and spread over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer.errors import UsageError
from dsah_train.metrics import bootstrap_difference, bootstrap_mean, spread


def test_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        i = bootstrap_mean(rng.random(60), seed=seed, resamples=400)
        covered += i.low <= 0.5 <= i.high
    # 95 % of 200 = 190; a binomial falls below 178 about once in ten thousand times.
    assert 178 <= covered <= 199


def test_interval_is_near_the_normal_one_and_seeded(monkeypatch):
    scores = np.random.default_rng(1).random(1000)
    i = bootstrap_mean(scores)
    half = 1.96 * scores.std() / 1000**0.5
    assert i.mean == pytest.approx(scores.mean())
    assert (i.low, i.high) == pytest.approx((i.mean - half, i.mean + half), abs=0.1 * half)
    assert bootstrap_mean(scores) == i
    assert bootstrap_mean(scores, seed=1) != i
    wide = bootstrap_mean(scores, level=0.99)
    assert wide.low < i.low < i.high < wide.high


def test_equal_scores_have_no_interval():
    i = bootstrap_mean([0.25] * 8)
    assert (i.mean, i.low, i.high) == pytest.approx((0.25, 0.25, 0.25))


def test_pairing_sees_a_small_but_constant_gain():
    hard = np.random.default_rng(3).random(50)
    i = bootstrap_difference(hard + 0.01, hard)
    assert i.low == pytest.approx(0.01)
    assert i.high == pytest.approx(0.01)
    with pytest.raises(UsageError, match="same queries"):
        bootstrap_difference(hard, hard[1:])


def coverage(clustered):
    """How often 95 % intervals over three splits of one folder hold the mean of its kind."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        pictures = rng.random(100)
        asked = np.concatenate([rng.permutation(100)[:50] for _ in range(3)])
        clusters = asked if clustered else None
        i = bootstrap_mean(pictures[asked], clusters=clusters, resamples=400)
        covered += i.low <= 0.5 <= i.high
    return covered


def test_pictures_of_several_splits_are_drawn_together():
    assert 178 <= coverage(clustered=True) <= 199  # of 200, as for single scores
    assert coverage(clustered=False) < 178  # each appearance taken for a picture of its own


def test_clusters_of_one_score_are_scores_and_of_equal_ones_are_one():
    scores = np.random.default_rng(2).random(40)
    plain = bootstrap_mean(scores)
    assert bootstrap_mean(scores, clusters=np.arange(40)) == plain
    named = [f"{i:02d}" for i in range(40)]
    thrice = bootstrap_mean(np.tile(scores, 3), clusters=named * 3)
    assert (thrice.mean, thrice.low, thrice.high) == pytest.approx(
        (plain.mean, plain.low, plain.high)
    )
    gain = bootstrap_difference(np.tile(scores, 3), np.zeros(120), clusters=named * 3)
    assert gain == thrice
    with pytest.raises(UsageError, match="one for each"):
        bootstrap_mean(scores, clusters=named[1:])


def test_spread_of_three_seeds():
    s = spread([1.0, 2.0, 3.0])
    # Student t with 2 degrees of freedom: 4.3027 standard errors.
    half = 4.302652729911275 / 3**0.5
    assert (s.mean, s.std, s.low, s.high) == pytest.approx((2, 1, 2 - half, 2 + half))
    one = spread([0.5])
    assert (one.mean, one.std, one.low, one.high, one.values) == (0.5, None, None, None, (0.5,))


def test_wrong_input_is_named():
    for bad in ([], [[1.0]]):
        with pytest.raises(UsageError):
            bootstrap_mean(bad)
        with pytest.raises(UsageError):
            spread(bad)
    with pytest.raises(UsageError, match="level"):
        bootstrap_mean([1.0], level=1.0)
