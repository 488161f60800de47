"""Batches go through the matrix unit where there is one; the answers stay the same."""

import numpy as np
import pytest

from dsah_infer import HammingIndex
from dsah_infer import _core as core
from tests.infer.ranking_reference import random_codes

FASTEST = core.available_isas()[0]
# Batches start once limits are tight: after a few thousand rows, from 16 queries on.
ROWS, QUERIES = 4096 + 2048 + 77, 41


def pair(bits, **options):
    """The same index twice: with the kernels in question and with plain loops."""
    return [
        HammingIndex(bits, isa=name, sublinear=False, **options) for name in (FASTEST, "portable")
    ]


def same(ours, reference):
    for mine, theirs in zip(ours, reference, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("bits", [17, 24, 32, 40, 48, 63, 64, 65, 72, 80, 96, 100, 200, 1000])
def test_batches_equal_plain_loops(bits):
    rng = np.random.default_rng(bits)
    codes, queries = random_codes(rng, ROWS, bits), random_codes(rng, QUERIES, bits)
    codes[rng.integers(0, ROWS, 60)] = queries[rng.integers(0, QUERIES, 60)]
    ours, plain = pair(bits, threads=1)
    ids = rng.permutation(ROWS) if bits % 2 else None
    for index in (ours, plain):
        index.add(codes, ids)
    for count, k in ((15, 3), (16, 1), (17, 10), (QUERIES, 60), (QUERIES, ROWS + 5)):
        same(ours.search(queries[:count], k), plain.search(queries[:count], k))
    near = bits // 3
    same(ours.range_search(queries, near), plain.range_search(queries, near))
    same(ours.range_search(queries, bits), plain.range_search(queries, bits))
    np.testing.assert_array_equal(ours.count(queries, near), plain.count(queries, near))


@pytest.mark.parametrize("bits", [48, 64, 130])
def test_batches_leave_out_removed_and_forbidden_rows(bits):
    rng = np.random.default_rng(5)
    codes, queries = random_codes(rng, ROWS, bits), random_codes(rng, QUERIES, bits)
    codes[::9] = queries[rng.integers(0, QUERIES, len(codes[::9]))]
    allow = rng.random(ROWS) < 0.7
    indexes = pair(bits, threads=1)
    for index in indexes:
        index.add(codes)
        index.remove(np.arange(0, ROWS, 27))
    ours, plain = indexes
    same(ours.search(queries, 20), plain.search(queries, 20))
    same(ours.search(queries, 20, allow=allow), plain.search(queries, 20, allow=allow))
    rows = [np.concatenate(part) for part in zip(*ours.pairs_within(0), strict=True)]
    same(rows, [np.concatenate(part) for part in zip(*plain.pairs_within(0), strict=True)])


def test_extreme_distances_in_a_batch():
    """All bits apart, none apart, and the end of a run of rows: sums must not wrap or leak."""
    for bits in (64, 512, 4096):
        codes = np.zeros((ROWS, bits // 8), np.uint8)
        codes[-1] = 0xFF
        queries = np.concatenate([np.zeros((16, bits // 8)), np.full((16, bits // 8), 0xFF)])
        index = HammingIndex(bits, isa=FASTEST, sublinear=False, threads=1)
        index.add(codes)
        distances, ids = index.search(queries.astype(np.uint8), 2)
        np.testing.assert_array_equal(distances[:16], 0)
        np.testing.assert_array_equal(ids[:16], [[0, 1]] * 16)
        np.testing.assert_array_equal(distances[16:], [[0, bits]] * 16)
        np.testing.assert_array_equal(ids[16:], [[ROWS - 1, 0]] * 16)


def test_any_thread_count_gives_the_same_batch():
    rng = np.random.default_rng(8)
    codes, queries = random_codes(rng, 4 * ROWS, 64), random_codes(rng, 70, 64)
    answers = []
    for threads in (1, 2, 5):
        index = HammingIndex(64, isa=FASTEST, sublinear=False, threads=threads)
        index.add(codes)
        answers.append(index.search(queries, 30))
    same(answers[1], answers[0])
    same(answers[2], answers[0])
