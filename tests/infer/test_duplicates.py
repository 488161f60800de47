"""Groups of near-identical codes against a plain search for connected parts."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_infer import HammingIndex, stable_order
from dsah_infer.duplicates import groups_within
from dsah_infer.errors import UsageError
from tests.infer.ranking_reference import distances, random_codes


def linked(codes, ids, radius, bits, symbol_bits):
    if not len(ids):
        return []
    near = distances(codes, codes, bits, symbol_bits) <= radius
    left, groups = set(range(len(ids))), []
    for start in np.argsort(ids).tolist():
        group, todo = [], [start] if start in left else []
        while todo:
            one = todo.pop()
            if one in left:
                left.remove(one)
                group.append(int(ids[one]))
                todo += np.flatnonzero(near[one]).tolist()
        if len(group) > 1:
            groups.append(sorted(group))
    return groups


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from([(8, 1), (12, 1), (16, 4), (70, 1)]),
    n=st.integers(0, 120),
    distinct=st.integers(1, 40),
    radius=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_groups_are_the_connected_parts(form, n, distinct, radius, seed):
    rng = np.random.default_rng(seed)
    bits, symbol_bits = form
    index = HammingIndex(bits, symbol_bits=symbol_bits)
    codes, ids = random_codes(rng, n, bits, distinct=distinct), rng.permutation(3 * n)[:n]
    index.add(codes, ids)
    assert groups_within(index, radius) == linked(codes, ids, radius, bits, symbol_bits)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(0, 400),
    tops=st.lists(st.sampled_from([1, 3, 2**16, 2**17, 2**40, 2**64]), min_size=1, max_size=3),
    size=st.integers(1, 130),
    seed=st.integers(0, 2**32 - 1),
)
def test_sorting_in_steps_is_lexsort(n, tops, size, seed):
    rng = np.random.default_rng(seed)
    keys = [
        rng.integers(0, top, n, np.uint64) if top == 2**64 else rng.integers(0, top, n)
        for top in tops
    ]
    with mock.patch.object(stable_order, "steps", partial(stable_order.steps, size=size)):
        order = stable_order.stable_order(*keys)
    assert (order == np.lexsort(keys)).all()


def test_groups_reach_over_many_steps():
    n = 600_000
    rng = np.random.default_rng(0)
    codes = random_codes(rng, n, 96, distinct=200_000)
    codes[: n // 2] = 3
    ids = rng.permutation(n)
    index = HammingIndex(96)
    index.add(codes, ids)
    members = defaultdict(list)
    for id_, row in enumerate(np.argsort(ids).tolist()):
        members[codes[row].tobytes()].append(id_)
    assert groups_within(index, 0) == [group for group in members.values() if len(group) > 1]


def test_collapsed_codes_cost_no_more_than_their_number():
    index = HammingIndex(48)
    index.add(np.zeros((200_000, 6), np.uint8))  # 2 * 10**10 pairs, if they were listed
    index.add(np.full((1, 6), 255, np.uint8))
    assert groups_within(index, 1) == [list(range(200_000))]
    with pytest.raises(UsageError, match="radius = -1"):
        groups_within(index, -1)


def test_codes_of_several_words_are_told_apart_by_each():
    codes = np.zeros((7, 33), np.uint8)
    codes[[1, 5], 0], codes[[2, 6], 15], codes[3, 32] = 1, 7, 255
    index = HammingIndex(264)
    index.add(codes, [70, 60, 50, 40, 30, 20, 10])
    assert groups_within(index, 0) == [[10, 50], [20, 60], [30, 70]]
    assert groups_within(HammingIndex(264), 3) == []


@pytest.mark.parametrize("bits", [64, 1024])
@pytest.mark.parametrize("radius", [0, 1])
def test_memory_does_not_depend_on_the_length_of_codes(bits, radius):
    n = 100_000
    index = HammingIndex(bits, sublinear=False)
    index.add(random_codes(np.random.default_rng(0), n, bits, distinct=n // 50))
    tracemalloc.start()
    try:
        groups = groups_within(index, radius)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(map(len, groups)) > n // 2
    chunk = 3 * 65536 * bits // 8  # on its way
    assert peak - chunk < 100 * n
