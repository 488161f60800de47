"""Every kernel, code length and path of the index against plain NumPy."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsah_infer._core as core
from dsah_infer import HammingIndex, index_searches
from dsah_infer.errors import CodeError, UsageError
from tests.infer.ranking_reference import (
    distances,
    random_codes,
    ranking,
    weighted_ranking,
)

ISAS = core.available_isas()
BITS = [1, 7, 8, 12, 16, 17, 24, 32, 33, 40, 48, 56, 63, 64, 65, 72, 80, 100, 128, 200, 512, 1000]


def same(found, expected):
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.fixture(params=ISAS)
def isa(request):
    return request.param


@pytest.mark.parametrize(
    ("bits", "symbol_bits"), [(b, s) for b in [*BITS, 4096] for s in (1, 2, 4, 8) if b % s == 0]
)
def test_search_equals_numpy(isa, bits, symbol_bits):
    rng = np.random.default_rng(bits * 10 + symbol_bits)
    for n in (0, 1, 63, 64, 65, 200) if bits < 256 else (1, 65):
        codes, queries = random_codes(rng, n, bits), random_codes(rng, 3, bits)
        if n > 9:
            codes[7] = codes[3] = queries[0]
        for ids in (None, rng.permutation(5 * n)[:n]):
            index = HammingIndex(bits, symbol_bits=symbol_bits, isa=isa)
            index.add(codes, ids)
            named = np.arange(n) if ids is None else ids
            for k in (1, 10, n + 5):
                same(index.search(queries, k), ranking(queries, codes, named, k, bits, symbol_bits))


def test_kernels_find_what_they_must_not_miss(isa):
    """One hit at every place of a block and its neighbours; a kernel that skips lanes fails."""
    rng = np.random.default_rng(3)
    for bits, n in itertools.product((8, 16, 32, 64, 72, 128), (64, 130)):
        far = np.full((n, bits // 8), 0xFF, np.uint8)
        query = np.zeros((1, bits // 8), np.uint8)
        for place in range(n):
            codes = far.copy()
            codes[place, rng.integers(0, bits // 8)] ^= 1 << rng.integers(0, 8)
            index = HammingIndex(bits, isa=isa, sublinear=False)
            index.add(codes)
            found, ids = index.search(query, 1)
            assert (found[0, 0], ids[0, 0]) == (bits - 1, place)


@settings(max_examples=150, deadline=None)
@given(
    bits=st.integers(1, 140),
    n=st.integers(0, 400),
    m=st.integers(1, 5),
    k=st.integers(1, 50),
    distinct=st.none() | st.integers(1, 6),
    threads=st.sampled_from([1, 2, 3]),
    isa=st.sampled_from(ISAS),
    seed=st.integers(0, 2**32 - 1),
)
def test_search_is_a_law(bits, n, m, k, distinct, threads, isa, seed):
    rng = np.random.default_rng(seed)
    codes, queries = random_codes(rng, n, bits, distinct=distinct), random_codes(rng, m, bits)
    ids = rng.permutation(3 * n + 1)[:n]
    index = HammingIndex(bits, threads=threads, isa=isa)
    index.add(codes, ids)
    expected = ranking(queries, codes, ids, k, bits)
    same(index.search(queries, k), expected)
    index.build()  # whatever structures there can be
    same(index.search(queries, k), expected)


def learned(rng, n, bits, centres, flip):
    """Codes as training makes them: around a few centres, some repeated."""
    base = rng.integers(0, 2, (centres, bits), dtype=np.uint8)[rng.integers(0, centres, n)]
    return np.packbits(base ^ (rng.random((n, bits)) < flip), axis=1)


@pytest.mark.parametrize("bits", [12, 17, 24, 33, 48, 64, 96])
@pytest.mark.parametrize("flip", [0.0, 0.01, 0.1, 0.5])
def test_structures_give_the_same_answer(isa, bits, flip):
    """Tables and groups, then rows added, replaced and removed behind their back."""
    rng = np.random.default_rng(bits)
    codes, queries = (learned(rng, n, bits, 20, flip) for n in (5000, 12))
    order = rng.permutation(20000)[: len(codes)]
    for ids in (np.arange(len(codes)), order):
        plain = HammingIndex(bits, isa=isa, sublinear=False)
        built = HammingIndex(bits, isa=isa)
        for index in (plain, built):
            index.add(codes[:4000], ids[:4000])
        built.build()
        for index in (plain, built):
            index.add(codes[4000:], ids[4000:])
            index.remove(ids[::7])
            index.upsert(queries[:2], ids[1:3])
        for k in (1, 10, 300, 6000):
            same(built.search(queries, k), plain.search(queries, k))
        for radius in (0, 2, 6, bits):
            for found, expected in zip(
                built.range_search(queries, radius),
                plain.range_search(queries, radius),
                strict=True,
            ):
                np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(
                built.count(queries, radius), np.diff(plain.range_search(queries, radius)[0])
            )
        assert built.stats()["sublinear_bytes"] > 0 or (bits > 64 and flip >= 0.1)


def test_the_planner_builds_tables_where_they_pay_and_says_so():
    rng = np.random.default_rng(0)
    codes = learned(rng, 300_000, 64, 300, 0.05)
    index = HammingIndex(64)
    index.add(codes)
    queries = codes[:1] ^ np.uint8(1)  # one query: far from where a scan might be as good
    plain = HammingIndex(64, sublinear=False)
    plain.add(codes)
    for _ in range(2):
        same(index.search(queries, 20), plain.search(queries, 20))
    assert index.explain()["path"] == "tables"
    assert index.explain()["candidates"] < len(codes)
    assert index.stats()["tables"] > 1
    assert plain.explain()["path"] == "scan"
    plain.build()  # not wanted: neither now nor by asking
    assert plain.stats()["sublinear_bytes"] == 0


def test_top_k_is_a_prefix_and_order_of_insertion_does_not_matter():
    rng = np.random.default_rng(1)
    codes, ids = random_codes(rng, 3000, 24, distinct=40), rng.permutation(3000)
    queries = random_codes(rng, 5, 24)
    index, shuffled = HammingIndex(24, threads=1), HammingIndex(24, threads=2)
    index.add(codes, ids)
    order = rng.permutation(3000)
    for part in np.array_split(order, 7):
        shuffled.add(codes[part], ids[part])
    whole = index.search(queries, 500)
    for k in (1, 9, 100, 499):
        same(index.search(queries, k), (whole[0][:, :k], whole[1][:, :k]))
    same(shuffled.search(queries, 500), whole)


def test_adversarial_ties_keep_the_smallest_ids():
    codes = np.zeros((20_000, 8), np.uint8)
    ids = np.arange(20_000)[::-1].copy()
    for sublinear in (True, False):
        index = HammingIndex(64, sublinear=sublinear)
        index.add(codes, ids)
        for _ in range(2):
            found, names = index.search(codes[:2], 7)
            assert (found == 0).all()
            np.testing.assert_array_equal(names, [range(7)] * 2)
        index.build()


@pytest.mark.parametrize(
    ("bits", "around"), [(12, 16_384), (64, 128), (64, 4096), (64, 131_072), (128, 2048)]
)
def test_sizes_around_the_blocks_of_a_scan(isa, bits, around):
    """What a scan takes at a time, for one query, for many and by two threads, plus or minus 1."""
    rng = np.random.default_rng(around)
    codes = random_codes(rng, around + 1, bits)
    queries = random_codes(rng, 70, bits)
    codes[around - 1 :] = queries[:2]  # the last ones are hits
    table = distances(queries[:2], codes, bits)
    index = HammingIndex(bits, isa=isa, threads=2, sublinear=False)
    for n in (around - 1, around, around + 1):
        index.add(codes[len(index) : n])
        for some in (queries[:1], queries[:2], queries):
            found, ids = index.search(some, 4)
            for row in range(min(2, len(some))):
                order = np.argsort(table[row, :n], kind="stable")[:4]
                np.testing.assert_array_equal(ids[row], order)
                np.testing.assert_array_equal(found[row], table[row, order])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_one_and_many_queries_share_out_work_alike(threads):
    rng = np.random.default_rng(2)
    codes = random_codes(rng, 70_000, 64)
    queries = random_codes(rng, 200, 64)
    index = HammingIndex(64, threads=threads, sublinear=False)
    index.add(codes)
    whole = index.search(queries, 30)
    single = [index.search(q, 30) for q in queries[:20]]
    same(
        tuple(np.concatenate(p) for p in zip(*single, strict=True)), (whole[0][:20], whole[1][:20])
    )
    same(index.search(queries[:3], 30), ranking(queries[:3], codes, np.arange(70_000), 30, 64))


def test_arrays_of_any_layout():
    rng = np.random.default_rng(4)
    wide = random_codes(rng, 600, 128)
    index = HammingIndex(64)
    index.add(wide[::2, ::2])
    index.add(np.asfortranarray(wide[1::2, 1::2]))
    codes = np.concatenate([wide[::2, ::2], wide[1::2, 1::2]])
    queries = np.asfortranarray(wide[:5, 8:])
    same(index.search(queries, 9), ranking(queries, codes, np.arange(600), 9, 64))
    same(index.search(codes[3], 2), ranking(codes[3:4], codes, np.arange(600), 2, 64))


@pytest.mark.parametrize("bits", [12, 64, 100])
def test_allow_lists(bits):
    rng = np.random.default_rng(5)
    codes, ids = random_codes(rng, 900, bits), rng.permutation(5000)[:900]
    queries = random_codes(rng, 4, bits)
    index = HammingIndex(bits)
    index.add(codes, ids)
    index.remove(ids[:50])
    for size in (0, 3, 25, 600):
        allowed = rng.choice(ids, size, replace=False)
        keep = np.isin(ids, allowed) & (np.arange(900) >= 50)
        expected = ranking(queries, codes[keep], ids[keep], 20, bits)
        same(index.search(queries, 20, allow=np.append(allowed, [999_999])), expected)
        mask = np.zeros(6000, bool)
        mask[allowed] = True
        same(index.search(queries, 20, allow=mask), expected)
        assert (index.count(queries, bits, allow=allowed) == keep.sum()).all()


def test_masks_are_taken_as_numpy_has_them():
    codes = random_codes(np.random.default_rng(6), 200, 64)
    index = HammingIndex(64)
    index.add(codes, np.arange(1000, 1200))  # rows and ids at different places of a word
    mask = np.zeros(2400, bool)
    mask[2000:2400:6] = True
    expected = np.arange(1000, 1200, 3)
    odd = np.where(mask[::2], 64, 0).astype(np.uint8).view(bool)  # not the byte that numpy writes
    for allow in (mask[::2], mask[::2].tolist(), odd):
        assert sorted(index.search(codes[:1], 67, allow=allow)[1][0]) == expected.tolist()
    for allow in (mask[: 2 * 1199 : 2], np.zeros(0, bool), [True]):
        with pytest.raises(UsageError, match=r"largest id is 1199; expected shape \(1200,\)"):
            index.search(codes[:1], 3, allow=allow)
    index.remove(np.arange(1150, 1200))
    assert index.count(codes[:1], 64, allow=np.ones(1150, bool)).tolist() == [150]
    with pytest.raises(UsageError, match="largest id is 1149"):
        index.count(codes[:1], 64, allow=np.ones(1149, bool))
    with pytest.raises(UsageError, match=r"mask of shape \(2, 2\)"):
        index.search(codes[:1], 3, allow=np.ones((2, 2), bool))
    assert HammingIndex(64).count(codes[:1], 64, allow=np.zeros(0, bool)).tolist() == [0]


@pytest.mark.parametrize(("ids", "most"), [("implicit", 8), ("own", 40)])
def test_a_mask_costs_little_beside_the_scan(ids, most):
    rng = np.random.default_rng(7)
    codes = random_codes(rng, 1_000_000, 64)
    index = HammingIndex(64, threads=1, sublinear=False)
    index.add(codes, None if ids == "implicit" else rng.permutation(len(codes)))

    def cost(allow):
        turns = []
        for _ in range(5):
            start = time.process_time()
            index.search(codes[:1], 10, allow=allow)
            turns.append(time.process_time() - start)
        return min(turns)

    # It took 30 scans as ids, and 150 to look each up in the map.
    assert cost(np.ones(len(codes), bool)) < most * cost(None)
    assert ids == "implicit" or index.stats()["id_map_bytes"] == 0


@settings(max_examples=80, deadline=None)
@given(
    bits=st.integers(1, 100),
    n=st.integers(1, 300),
    k=st.integers(1, 40),
    flat=st.booleans(),
    isa=st.sampled_from(ISAS),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_give_the_exact_asymmetric_ranking(bits, n, k, flat, isa, seed):
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, n, bits, distinct=max(1, n // 2))
    activations = rng.standard_normal((3, bits)).astype(np.float32)
    if flat:
        activations = np.sign(activations)  # every level is a tie
    queries = np.packbits(activations >= 0, axis=1)
    index = HammingIndex(bits, isa=isa)
    index.add(codes)
    found, ids = index.search(queries, k, weights=activations)
    for row in range(3):
        near, names, _ = weighted_ranking(
            queries[row], activations[row], codes, np.arange(n), k, bits
        )
        np.testing.assert_array_equal(found[row, : len(near)], near)
        np.testing.assert_array_equal(ids[row, : len(near)], names)


def test_weights_agree_with_float_sums():
    """The rounding to 2**-40 is far below what float32 activations can tell apart."""
    rng = np.random.default_rng(6)
    codes = random_codes(rng, 4000, 48)
    activations = rng.standard_normal((1, 48)).astype(np.float32)
    query = np.packbits(activations >= 0, axis=1)
    index = HammingIndex(48)
    index.add(codes)
    _, ids = index.search(query, 50, weights=activations)
    sums = np.unpackbits(codes ^ query, axis=1) @ np.abs(activations[0]).astype(np.float64)
    np.testing.assert_allclose(sums[ids[0]], np.sort(sums)[:50], rtol=1e-9)
    plain = index.search(query, 50)[1]
    assert not np.array_equal(ids, plain)


def test_range_search_limit_and_count(isa):
    rng = np.random.default_rng(7)
    codes, queries = random_codes(rng, 800, 20), random_codes(rng, 6, 20)
    index = HammingIndex(20, isa=isa)
    index.add(codes)
    table = distances(queries, codes, 20)
    for radius in (0, 3, 7, 20, 400):
        lims, found, ids = index.range_search(queries, radius)
        _, _, few = index.range_search(queries, radius, limit=5)
        start = 0
        for row, near in enumerate(table):
            inside = np.flatnonzero(near <= radius)
            order = inside[np.lexsort((inside, near[inside]))]
            part = slice(lims[row], lims[row + 1])
            np.testing.assert_array_equal(ids[part], order)
            np.testing.assert_array_equal(found[part], near[order])
            np.testing.assert_array_equal(few[start : start + min(5, len(order))], order[:5])
            start += min(5, len(order))
        np.testing.assert_array_equal(index.count(queries, radius), (table <= radius).sum(1))


@pytest.mark.parametrize("rising", [True, False])
def test_pairs_within(rising):
    rng = np.random.default_rng(8)
    codes = random_codes(rng, 2500, 32)
    codes[100:200] = codes[:100]
    ids = np.arange(2500) if rising else rng.permutation(9000)[:2500]
    index = HammingIndex(32)
    index.add(codes, ids)
    for radius in (0, 4):
        chunks = list(index.pairs_within(radius))
        a, b, d = (np.concatenate(part) for part in zip(*chunks, strict=True))
        order = np.argsort(ids)
        table = distances(codes[order], codes[order], 32)
        rows, columns = np.nonzero(np.triu(table <= radius, 1))
        near = table[rows, columns]
        expected = np.lexsort((columns, near, rows))
        np.testing.assert_array_equal(a, ids[order][rows[expected]])
        np.testing.assert_array_equal(b, ids[order][columns[expected]])
        np.testing.assert_array_equal(d, near[expected])


@pytest.mark.parametrize("bits", [12, 64, 128])
@pytest.mark.parametrize("rising", [True, False])
def test_pairs_of_codes_in_groups(bits, rising, monkeypatch):
    """A group has rows on both sides of a code's id: only those above count, nor hide others."""
    monkeypatch.setattr(index_searches, "_PAIRS_EACH", 40)
    rng = np.random.default_rng(bits)
    codes = learned(rng, 1500, bits, 20, 0.1 / bits)
    ids = np.arange(1500) if rising else rng.permutation(9000)[:1500]
    plain, built = HammingIndex(bits, sublinear=False), HammingIndex(bits)
    for index in (plain, built):
        index.add(codes, ids)
    built.build()
    assert built.stats()["distinct_codes"] < 1000
    for _ in range(2):
        for radius in (0, 1, 3):
            found, expected = (
                [np.concatenate(part) for part in zip(*index.pairs_within(radius), strict=True)]
                for index in (built, plain)
            )
            assert len(found[0]) > 1500
            for mine, right in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, right)
        for index in (plain, built):
            index.remove(ids[::3])


@pytest.mark.filterwarnings("error")
def test_bad_requests_are_named():
    index = HammingIndex(12)
    index.add(np.zeros((3, 2), np.uint8))
    good = np.zeros((1, 2), np.uint8)
    for call in (
        lambda: HammingIndex(0),
        lambda: HammingIndex(4097),
        lambda: HammingIndex(12, symbol_bits=3),
        lambda: HammingIndex(12, symbol_bits=8),
        lambda: HammingIndex(12, isa="mmx"),
        lambda: HammingIndex(12, isa=3),
        lambda: HammingIndex(12, isa="\udcff"),
        lambda: HammingIndex(12, sublinear="no"),
        lambda: HammingIndex.load("missing", sublinear=0),
        lambda: HammingIndex.load("missing", mmap="no"),
        lambda: HammingIndex.load("missing", verify=np.array(["eager", "lazy"])),
        lambda: HammingIndex.load("missing", isa=3),
        lambda: HammingIndex(12, contract="x"),
        lambda: HammingIndex(12, contract={}),
        lambda: HammingIndex(12, threads=0),
        lambda: HammingIndex(2**40),
        lambda: HammingIndex(12, symbol_bits=2**40),
        lambda: HammingIndex(12, threads=2**40),
        lambda: index.search(good, 2**70),
        lambda: index.range_search(good, 1, limit=2**70),
        lambda: index.reserve(2**70),
        lambda: index.search(good, 0),
        lambda: index.search(good, True),
        lambda: index.range_search(good, -1),
        lambda: index.range_search(good, 1, limit=0),
        lambda: index.search(good, 1, weights=np.zeros((1, 11))),
        lambda: index.search(good, 1, weights=np.full((1, 12), np.nan)),
        lambda: index.search(good, 1, weights=np.full((1, 12), 1e300)),
        lambda: index.search(good, 1, weights="many"),
        lambda: index.search(good, 1, weights=[["1"] * 12]),
        lambda: index.search(good, 1, weights=[[10**400] * 12]),
        lambda: index.search(good, 1, weights=[[1], [1, 2]]),
        lambda: index.search(good, 1, weights=np.full((1, 12), 1 + 5j)),
        lambda: index.search(good, 1, contract="x"),
        lambda: index.range_search(good, 1, contract="x"),
        lambda: index.count(good, 1, contract="x"),
        lambda: index.add(good, contract="x"),
        lambda: index.upsert(good, [9], contract="x"),
        lambda: index.chunks(0),
        lambda: index.pairs_within(-1),
        lambda: index.merge(5),
        lambda: index.merge(HammingIndex(13)),
        lambda: index.merge(index, on_duplicate="ignore"),
        lambda: index.save("a\0b"),
        lambda: HammingIndex.load("a\0b"),
        lambda: index.search(good, 1, allow=[0.5]),
        lambda: index.search(good, 1, allow=[[1], [2, 3]]),
        lambda: index.add(good, [[1], [2, 3]]),
        lambda: index.remove([[1], [2, 3]]),
        lambda: index.upsert(good, None),
        lambda: index.add(good, on_duplicate=np.array(["raise", "skip"])),
        lambda: index.add(good, contract=None, other_fingerprint=["refuse"]),
        lambda: index.add(good, [1, 2]),
        lambda: index.add(good, [-1]),
        lambda: index.add(good, [2**63 - 1]),
        lambda: index.add(good, on_duplicate="ignore"),
    ):
        with pytest.raises(UsageError):
            call()
    for bad in (np.zeros((1, 2)), np.zeros((1, 3), np.uint8), np.ones((1, 2), np.uint8), [[0, 0]]):
        with pytest.raises(CodeError):
            index.add(bad)
        with pytest.raises(CodeError):
            index.search(bad, 1)
    assert len(index) == 3


@pytest.mark.parametrize("n", [0, 3])
def test_any_k_beyond_the_index_gives_all_codes(n):
    index, queries = HammingIndex(12), np.zeros((2, 2), np.uint8)
    index.add(np.zeros((n, 2), np.uint8))
    for k in (n + 1, 65_536):  # filled up
        found, ids = index.search(queries, k)
        assert (ids == np.append(np.arange(n), np.full(k - n, -1))).all()
        assert (found[:, n:] == 2**31 - 1).all()
    for k in (65_537, 2**40, 2**63 - 1):
        for options in ({}, {"weights": np.ones((2, 12))}):
            found, ids = index.search(queries, k, **options)
            assert found.shape == ids.shape == (2, n)
            assert (ids == np.arange(n)).all()


def test_isa_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("DSAH_ISA", ISAS[-1])
    assert HammingIndex(64).isa == ISAS[-1]
    monkeypatch.setenv("DSAH_ISA", "avx9")
    with pytest.raises(UsageError, match="avx9"):
        HammingIndex(64)


@pytest.mark.parametrize("rising", [True, False])
def test_pairs_of_codes_with_very_many_partners(rising, monkeypatch):
    """Beyond a number of partners a code is asked about alone, so that memory stays small."""
    monkeypatch.setattr(index_searches, "_PAIRS_EACH", 7)
    codes = np.zeros((60, 1), np.uint8)
    codes[::3] = np.arange(20, dtype=np.uint8)[:, None]
    ids = np.arange(60) if rising else np.random.default_rng(9).permutation(60)
    index = HammingIndex(8)
    index.add(codes, ids)
    for radius in (0, 1, 8):
        a, b, d = (np.concatenate(p) for p in zip(*index.pairs_within(radius), strict=True))
        order = np.argsort(ids)
        table = distances(codes[order], codes[order], 8)
        rows, columns = np.nonzero(np.triu(table <= radius, 1))
        expected = np.lexsort((columns, table[rows, columns], rows))
        np.testing.assert_array_equal(a, rows[expected])
        np.testing.assert_array_equal(b, columns[expected])
        np.testing.assert_array_equal(d, table[rows, columns][expected])


def test_every_search_says_why_it_took_its_path():
    codes = random_codes(np.random.default_rng(0), 40_000, 64)
    query, activations = codes[:1], np.ones((1, 64), np.float32)
    told = set()
    for some, sublinear in itertools.product((codes, codes[:10], codes[:0]), (True, False)):
        index = HammingIndex(64, sublinear=sublinear)
        index.add(some)
        searches = [
            lambda i: i.search(query, 3),
            lambda i: i.search(query, 3, allow=np.arange(len(i))[:1]),
            lambda i: i.search(query, 3, allow=np.ones(len(i), bool)),
            lambda i: i.search(query, 3, weights=activations),
            lambda i: i.range_search(query, 2),
            lambda i: i.count(query, 2),
        ]
        for _ in range(2):
            for search in searches:
                search(index)
                plan = index.explain()
                assert plan["path"]
                assert plan["reason"], plan
                told.add(plan["reason"])
            index.build()
    assert len(told) > 4, told
