"""The closed forms over tie orders against trying every order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_train.metrics.ties import distance_histogram, tie_bounds
from tests import reference

LEVELS = 4


def bounds(distances, relevant, k=None):
    d = np.array([distances], dtype=np.int32)
    r = np.array([relevant], dtype=bool)
    total = distance_histogram(d, np.ones_like(r), LEVELS)
    return [float(x[0]) for x in tie_bounds(total, distance_histogram(d, r, LEVELS), k)]


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.tuples(st.integers(0, LEVELS - 1), st.booleans()), min_size=1, max_size=6),
    k=st.none() | st.integers(1, 7),
)
def test_closed_forms_equal_all_orders(items, k):
    distances, relevant = zip(*items, strict=True)
    assert bounds(distances, relevant, k) == pytest.approx(
        reference.tie_orders(distances, relevant, k), abs=1e-12
    )


def test_one_big_tie_of_known_value():
    # All n items tie with m relevant: the expectation tends to the share m / n.
    total, relevant = np.array([[100_000]]), np.array([[25_000]])
    expected, best, worst = tie_bounds(total, relevant)
    assert expected[0] == pytest.approx(0.25, abs=1e-3)
    assert best[0] == 1
    # The last 25,000 ranks: mean of j / (75,000 + j), near 1 - 3 ln(4/3).
    assert worst[0] == pytest.approx(1 - 3 * np.log(4 / 3), abs=1e-4)


def test_without_ties_all_three_agree():
    assert bounds([0, 1, 2, 3], [True, False, True, False]) == pytest.approx([5 / 6] * 3)


def test_no_relevant_item_scores_zero():
    assert bounds([0, 0, 1], [False] * 3) == [0, 0, 0]
