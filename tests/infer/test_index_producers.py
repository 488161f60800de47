"""The producers that an index names cover its codes, whatever happens at the same time."""

from __future__ import annotations

import json
import pickle
import sys
import threading

import numpy as np
import pytest

from dsah_infer import HammingIndex
from dsah_infer.contract import CodeContract
from dsah_infer.errors import SpaceMismatchError, UsageError

CONTRACT = CodeContract(method="dsah", bits=64, space="flowers", fingerprint="f1")
CODES = np.zeros((1, 8), np.uint8)


def holding(*ids):
    index = HammingIndex(64, contract=CONTRACT)
    index.add(np.repeat(CODES, len(ids), axis=0), ids, contract=CONTRACT)
    return index


def put(index, fingerprint, id_):
    artefact = CONTRACT.replace(fingerprint=fingerprint)
    return index.add(CODES, [id_], contract=artefact, other_fingerprint="accept")


class Core:
    """The core of an index, one of whose verbs does something else first."""

    def __init__(self, index, verb, first):
        self._core, self._verb, self._first = index._core, verb, first
        index._core = self

    def __getattr__(self, name):
        call = getattr(self._core, name)
        if name != self._verb:
            return call

        def late(*arguments):
            self._verb = None  # once
            self._first(*arguments)
            return call(*arguments)

        return late

    def __len__(self):
        return len(self._core)


def started(work):
    """A thread that had time to do its work, unless it waits for something."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.3)
    return thread


def test_a_file_names_the_producers_of_all_its_codes(tmp_path, monkeypatch):
    index, dumps = holding(0), json.dumps

    def dumps_late(value, **options):
        if value == ("f1",):  # the names are read, the file is not written
            put(index, "f2", 1)
        return dumps(value, **options)

    monkeypatch.setattr(json, "dumps", dumps_late)
    index.save(tmp_path / "a")
    assert len(index) == 2
    saved = HammingIndex.load(tmp_path / "a")
    assert (len(saved), saved.fingerprints) == (1, ("f1",))


def test_a_writer_that_fails_takes_back_its_own_names_only():
    index, others = holding(0), []

    def fail(*_):
        others.append(started(lambda: put(index, "f3", 3)))
        raise UsageError("no")

    Core(index, "add", fail)
    with pytest.raises(UsageError):
        put(index, "f2", 2)
    others[0].join()
    assert (len(index), index.fingerprints) == (2, ("f1", "f3"))


def test_codes_that_came_in_before_ctrl_c_was_heard_keep_their_name():
    index = holding(0)

    def add_then_stop(*arguments):
        index._core._core.add(*arguments)
        raise KeyboardInterrupt

    Core(index, "add", add_then_stop)
    with pytest.raises(KeyboardInterrupt):
        put(index, "f2", 1)
    assert (len(index), index.fingerprints) == (2, ("f1", "f2"))


def test_merge_names_what_comes_into_the_other_index_meanwhile():
    index, other, writers = holding(0), holding(1), []

    def write(*_):
        writers.append(started(lambda: put(other, "f2", 2)))

    Core(index, "merge", write)
    index.merge(other)
    writers[0].join()
    assert len(other) == 2
    assert len(index) == 2 + ("f2" in index.fingerprints)


def test_indexes_that_take_in_each_other_do_not_wait_for_ever():
    one, two = holding(*range(200)), holding(*range(100, 300))

    def work(index, other):
        for _ in range(200):
            index.merge(other, on_duplicate="replace")

    threads = [
        threading.Thread(target=work, args=pair, daemon=True) for pair in ((one, two), (two, one))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(one) == len(two) == 300
    assert one.merge(one, on_duplicate="skip") == 0


def test_a_reader_sees_the_contract_with_its_fingerprint():
    """Threads take turns as often as they can, while contracts come in with first codes."""
    refused, done, current = [], threading.Event(), HammingIndex(64)

    def read():
        while not done.is_set():
            try:
                current.search(CODES, 1, contract=CONTRACT)
            except SpaceMismatchError as error:
                refused.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(2000):
            current = HammingIndex(64)
            current.add(CODES, contract=CONTRACT)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert not refused


def test_an_index_with_producers_is_pickled():
    again = pickle.loads(pickle.dumps(holding(0, 1)))
    put(again, "f2", 2)
    assert (len(again), again.fingerprints) == (3, ("f1", "f2"))
