"""The search for a learning rate ends where the best has a worse one on either side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.ladder import best_rate, next_rate

LADDER = (1.0, 0.3, 0.1, 0.03, 0.01)


def search(scores: list[float]) -> dict[float, float]:
    tried: dict[float, float] = {}
    while (rate := next_rate(tried, LADDER, LADDER[1:3])) is not None:
        assert rate not in tried
        tried[rate] = scores[LADDER.index(rate)]
    return tried


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_the_best_has_both_neighbours_tried(scores: list[float]) -> None:
    tried = search(scores)
    best = LADDER.index(best_rate(tried))
    assert set(LADDER[1:3]) <= set(tried)
    assert set(LADDER[max(best - 1, 0) : best + 2]) <= set(tried)


@pytest.mark.parametrize("peak", range(5))
def test_a_single_peak_is_found(peak: int) -> None:
    assert best_rate(search([-abs(i - peak) for i in range(5)])) == LADDER[peak]
