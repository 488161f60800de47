"""Ids of any shape: long runs, short ones, single ids, and what becomes of them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from dsah_infer import HammingIndex
from dsah_infer.errors import UsageError
from tests.infer.ranking_reference import random_codes, ranking

SPACE = 60_000  # ids are below this


class Model:
    """A table of codes by id that is changed as the index is."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.codes = np.zeros((SPACE, 2), np.uint8)
        self.there = np.zeros(SPACE, bool)
        self.next_id = 0
        self.index = HammingIndex(16, sublinear=False)

    def some_ids(self):
        """A run, a few runs or ids in no order."""
        start, step = self.rng.integers(0, SPACE - 18_000), self.rng.integers(1, 4)
        count = int(self.rng.choice([1, 70, 4096, 6000]))
        ids = np.arange(start, start + count)
        if self.rng.random() < 0.3:
            ids = np.delete(ids, self.rng.integers(0, len(ids), 5))
        if self.rng.random() < 0.3:
            ids = step * (ids - start) + start
        return self.rng.permutation(ids) if self.rng.random() < 0.3 else ids

    def change(self):
        kind = self.rng.choice(["add", "add", "upsert", "count up", "remove", "compact"])
        ids = self.some_ids()
        codes = random_codes(self.rng, len(ids), 16)
        if kind == "add" and self.there[ids].any():
            with pytest.raises(UsageError, match="already in the index"):
                self.index.add(codes, ids)
            ids, codes = ids[~self.there[ids]], codes[~self.there[ids]]
        if kind == "count up":
            ids = np.arange(self.next_id, min(self.next_id + len(ids), SPACE))
            self.index.add(codes[: len(ids)])
            codes = codes[: len(ids)]
        elif kind in ("add", "upsert"):
            getattr(self.index, kind)(codes, ids)
        elif kind == "remove":
            assert self.index.remove(ids) == self.there[ids].sum()
            self.there[ids] = False
            return
        else:
            self.index.compact()
            return
        self.codes[ids], self.there[ids] = codes, True
        self.next_id = max(self.next_id, ids.max(initial=-1) + 1)

    def check(self, index):
        present = np.flatnonzero(self.there)
        asked = self.rng.permutation(SPACE)
        packed, found = index._core.get(asked)
        np.testing.assert_array_equal(found, self.there[asked])
        np.testing.assert_array_equal(packed[found], self.codes[asked[found]])
        chunks = [ids for _, ids in index]
        assert sorted(np.concatenate(chunks) if chunks else []) == present.tolist()
        query = random_codes(self.rng, 2, 16)
        mask = self.rng.random(SPACE + 5) < self.rng.choice([0, 0.02, 0.5, 1])
        chosen = np.flatnonzero(mask[:SPACE] & self.there)
        for named, allow in (
            (present, None),
            (chosen, mask),
            (chosen, mask[: present.max(initial=-1) + 1]),
            (chosen, self.rng.permutation(np.flatnonzero(mask))),
        ):
            expected = ranking(query, self.codes[named], named, 20, 16)
            for ours, theirs in zip(index.search(query, 20, allow=allow), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
        if len(present):
            with pytest.raises(
                UsageError, match=rf"expected shape \({present[-1] + 1},\) or longer"
            ):
                index.search(query, 20, allow=mask[: present[-1]])


@pytest.mark.parametrize("seed", range(12))
def test_any_ids_in_any_order_of_changes(seed, tmp_path):
    model = Model(seed)
    for _ in range(25):
        model.change()
        model.check(model.index)
    model.index.save(tmp_path / "a")
    model.index.compact()
    model.index.save(tmp_path / "b")
    for name, options in (("a", {}), ("b", {}), ("b", {"mmap": True})):
        loaded = HammingIndex.load(tmp_path / name, sublinear=False, **options)
        model.check(loaded)
        loaded.compact()
        model.check(loaded)


def test_replacing_one_id_again_and_again_does_not_become_slower():
    index = HammingIndex(64, sublinear=False)
    index.add(random_codes(np.random.default_rng(0), 200_000, 64), np.arange(200_000) * 3)
    code, spent = np.zeros((1, 8), np.uint8), []
    for turn in range(10):
        start = time.process_time()
        for number in range(2000):
            code[0, 0] = number % 256
            index.upsert(code, [300])
        spent.append(time.process_time() - start)
        assert index.get([300]).tolist() == code.tolist(), turn
    assert len(index) == 200_000
    # Each leaves a removed row behind: looking through them all would cost ten times as much.
    assert min(spent[-3:]) < 4 * min(spent[:3])


def test_groups_of_few_codes_cost_little_more_with_ids_in_any_order():
    rng = np.random.default_rng(0)
    count, spent = 600_000, []
    codes = random_codes(rng, 10, 64)[rng.integers(0, 10, count)]
    for ids in (np.arange(count), rng.permutation(count)):
        index = HammingIndex(64, threads=1)
        for some, names in zip(np.array_split(codes, 50), np.array_split(ids, 50), strict=True):
            index.add(some, names)
        turns = []
        for _ in range(3):
            start = time.process_time()
            index.build()
            turns.append(time.process_time() - start)
        spent.append(min(turns))
        found = index.search(codes[:1], 20)[1][0]
        np.testing.assert_array_equal(found, np.sort(ids[(codes == codes[0]).all(axis=1)])[:20])
    assert spent[1] < 6 * spent[0]  # looking up each id that is compared took 13 times as much
