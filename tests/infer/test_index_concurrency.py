"""Threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsah_infer import HammingIndex
from tests.infer.ranking_reference import random_codes


def small_index(n=5000, **options):
    rng = np.random.default_rng(0)
    codes = random_codes(rng, n, 64)
    index = HammingIndex(64, **options)
    index.add(codes)
    return index, codes


def test_readers_see_consistent_snapshots_while_one_writes():
    """Rows come in pairs of equal codes, in one call each: a reader must see both or neither."""
    index = HammingIndex(64, threads=2)
    rng = np.random.default_rng(1)
    codes = random_codes(rng, 3000, 64)
    done, problems = threading.Event(), []

    def write():
        try:
            for i, code in enumerate(codes):
                index.add(np.stack([code, code]), [2 * i, 2 * i + 1])
                if i % 5 == 0:
                    index.remove([2 * i, 2 * i + 1])
                if i % 700 == 699:
                    index.compact()
                if i % 900 == 899:
                    index.build()
        except Exception as error:
            problems.append(error)
        done.set()

    def read(seed):
        local = np.random.default_rng(seed)
        try:
            while not done.is_set():
                pick = int(local.integers(0, len(codes)))
                found, ids = index.search(codes[pick], 2)
                exact = ids[found == 0]
                if len(exact) not in (0, 2) or (len(exact) == 2 and exact[0] + 1 != exact[1]):
                    problems.append((pick, found, ids))
                assert (2 * pick in index) in (True, False)
        except Exception as error:
            problems.append(error)

    threads = [
        threading.Thread(target=write),
        *(threading.Thread(target=read, args=(s,)) for s in (1, 2, 3)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert len(index) == 2 * 3000 - 2 * 600


LONG_CALLS = {
    "search": lambda index, codes: index.search(codes[:1024], 10),
    "one chunk": lambda index, _: next(index.chunks(len(index))),
    "take": lambda index, _: index._core.snapshot().take(np.zeros(3_000_000, np.uint32)),
    "get": lambda index, _: index.get(np.zeros(3_000_000, np.int64)),
}


@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_long_calls_leave_the_interpreter_free(call):
    """While one thread is inside a long call, another runs Python all the time."""
    index, codes = small_index(2_000_000, threads=1, sublinear=False)
    running, ticks = threading.Event(), 0

    def work():
        try:
            call(index, codes)
        finally:
            running.clear()

    running.set()
    thread = threading.Thread(target=work)
    thread.start()
    while running.is_set():
        ticks += 1
        time.sleep(0)
    thread.join()
    assert ticks > 50  # holding the GIL would leave one or two


def answer(index, codes):
    return index.search(codes, 5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_indexes_travel_into_processes(method, tmp_path):
    index, codes = small_index(60_000)
    expected = index.search(np.tile(codes[:50], (4, 1)), 5)  # also starts the pool's threads
    context = multiprocessing.get_context(method)
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True)
    assert len(pickle.dumps(mapped)) < 1000  # by its path
    with context.Pool(2) as pool:
        for where in (index, mapped):
            found = pool.apply(answer, (where, np.tile(codes[:50], (4, 1))))
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
    mapped.add(codes[:1])
    assert len(pickle.loads(pickle.dumps(mapped))) == 60_001


def test_a_pickle_opens_where_its_instruction_set_is_missing(tmp_path):
    index, codes = small_index(100, isa="portable")
    index.save(tmp_path / "a")
    mapped = HammingIndex.load(tmp_path / "a", mmap=True, isa="portable")
    for made in (index, mapped):
        here = pickle.loads(pickle.dumps(made))
        assert here.isa == "portable"
        here._options = {**here._options, "isa": "neon"}  # as if made on another machine
        there = pickle.loads(pickle.dumps(here))
        assert there.isa == HammingIndex(64).isa
        assert there.search(codes[:1], 5)[1].tolist() == index.search(codes[:1], 5)[1].tolist()
        assert there._options["isa"] == "neon"  # for the way back


def test_a_forked_child_searches_with_several_threads():
    index, codes = small_index(200_000, threads=2, sublinear=False)
    expected = index.search(codes[:64], 5)
    child = os.fork()
    if child == 0:
        found = index.search(codes[:64], 5)
        os._exit(0 if (found[1] == expected[1]).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_python_threads_share_the_pool():
    index, codes = small_index(100_000, threads=2)
    expected = index.search(codes[:40], 3)
    with ThreadPoolExecutor(6) as executor:
        for found in executor.map(lambda _: index.search(codes[:40], 3), range(60)):
            np.testing.assert_array_equal(found[1], expected[1])
