"""The index against a dictionary, through any sequence of changes."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import dsah_infer._core as core
from dsah_infer import HammingIndex
from dsah_infer.errors import UsageError
from tests.infer.ranking_reference import random_codes, ranking

IDS = st.lists(st.integers(0, 60), max_size=30)


class IndexMachine(RuleBasedStateMachine):
    @initialize(
        form=st.sampled_from([(3, 1), (12, 1), (24, 4), (40, 1), (64, 1), (64, 8), (72, 2)]),
        isa=st.sampled_from(core.available_isas()),
        threads=st.sampled_from([1, 2]),
        seed=st.integers(0, 2**32 - 1),
    )
    def start(self, form, isa, threads, seed):
        self.bits, self.symbol_bits = form
        self.rng, self.model, self.next_id = np.random.default_rng(seed), {}, 0
        self.options = {"isa": isa, "threads": threads}
        self.index = HammingIndex(self.bits, symbol_bits=self.symbol_bits, **self.options)

    def codes(self, n):
        return random_codes(self.rng, n, self.bits, distinct=20) if n else self.none()

    def none(self):
        return np.zeros((0, (self.bits + 7) // 8), np.uint8)

    def learn(self, ids, codes):
        self.model.update(zip(map(int, ids), map(bytes, codes), strict=True))
        self.next_id = max([self.next_id, *(int(i) + 1 for i in ids)])

    @rule(n=st.integers(0, 200))
    def add(self, n):
        codes = self.codes(n)
        assert self.index.add(codes) == n
        self.learn(range(self.next_id, self.next_id + n), codes)

    @rule(ids=IDS)
    def add_with_ids(self, ids):
        codes = self.codes(len(ids))
        if len(set(ids)) < len(ids) or set(ids) & set(self.model):
            try:
                self.index.add(codes, ids)
                raise AssertionError("a duplicate id was taken")
            except UsageError:
                return
        self.index.add(codes, ids)
        self.learn(ids, codes)

    @rule(ids=IDS)
    def upsert(self, ids):
        codes = self.codes(len(ids))
        self.index.upsert(codes, ids)
        self.learn(ids, codes)

    @rule(ids=IDS)
    def add_and_skip(self, ids):
        codes = self.codes(len(ids))
        fresh = [i for i, n in enumerate(ids) if n not in self.model and n not in ids[:i]]
        assert self.index.add(codes, ids, on_duplicate="skip") == len(fresh)
        self.learn([ids[i] for i in fresh], codes[fresh])

    @rule(ids=IDS)
    def remove(self, ids):
        gone = set(ids) & set(self.model)
        assert self.index.remove(ids) == len(gone)
        for i in gone:
            del self.model[i]

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.stats()["removed"] == 0

    @rule(n=st.integers(0, 100))
    def reserve(self, n):
        self.index.reserve(n)

    @rule()
    def build(self):
        self.index.build()

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap):
        with tempfile.TemporaryDirectory() as folder:
            self.index.sections["note"] = b"kept"
            self.index.save(Path(folder) / "a")
            self.index = HammingIndex.load(Path(folder) / "a", mmap=mmap, **self.options)
        assert self.index.sections == {"note": b"kept"}

    @precondition(lambda self: self.index._mapped_from is None)
    @rule()
    def through_pickle(self):
        self.index = pickle.loads(pickle.dumps(self.index))

    @rule(ids=st.lists(st.integers(100, 400), unique=True, max_size=20))
    def merge(self, ids):
        codes = self.codes(len(ids))
        other = HammingIndex(self.bits, symbol_bits=self.symbol_bits)
        other.add(codes, ids)
        if set(ids) & set(self.model):
            self.index.merge(other, on_duplicate="replace")
        else:
            assert self.index.merge(other) == len(ids)
        self.learn(ids, codes)

    @invariant()
    def agrees(self):
        assert len(self.index) == len(self.model)
        ids = np.array(sorted(self.model), np.int64)
        packed = b"".join(self.model[i] for i in ids.tolist())
        codes = np.frombuffer(packed, np.uint8).reshape(len(ids), (self.bits + 7) // 8)
        queries = self.codes(2)
        expected = ranking(queries, codes, ids, 15, self.bits, self.symbol_bits)
        found = self.index.search(queries, 15)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(self.index.get(ids), codes)
        assert all((i in self.index) == (i in self.model) for i in range(0, 70, 3))
        seen = {
            int(i): bytes(c) for cs, ns in self.index.chunks(7) for c, i in zip(cs, ns, strict=True)
        }
        assert seen == self.model


IndexMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestIndexAgainstDict = IndexMachine.TestCase
