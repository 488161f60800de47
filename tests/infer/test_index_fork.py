"""A process that forks at any moment of a write: its child must not wait for threads it lacks."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import weakref

import numpy as np
import pytest

from dsah_infer import HammingIndex
from tests.infer.ranking_reference import random_codes, ranking

FIXED = 20_000  # ids below are never written again


def use_everything(index, codes, folder, top=10**9):
    """In the child: every verb, right answers for the ids that the writer leaves alone."""
    queries = codes[:3] ^ np.uint8(1)
    allowed = np.arange(FIXED)
    found = index.search(queries, 5, allow=allowed)
    expected = ranking(queries, codes, allowed, 5, 64)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()
    before = len(index)
    assert index.add(codes[:2], [top, top + 1]) == 2
    assert index.add(codes[:2]) == 2
    assert index.upsert(codes[2:4], [top, top + 9]) == 2
    assert len(index) == before + 5
    assert top in index
    assert top + 5 not in index
    assert index.remove([top, top + 1]) == 2
    index.build()
    index.compact()
    index.save(folder / f"child-{os.getpid()}")
    assert len(HammingIndex.load(folder / f"child-{os.getpid()}")) == before + 3
    found = index.search(queries, 5, allow=allowed)
    assert (found[1] == expected[1]).all()
    assert index.explain()["queries"] == 3


def in_child(work):
    """Fork; the exit code of the child, which an alarm ends if it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("writer", ["upserts", "builds", "searches", "saves", "looks up"])
def test_fork_while_another_thread_writes(writer, tmp_path):
    rng = np.random.default_rng(0)
    codes = random_codes(rng, FIXED, 64)
    index = HammingIndex(64, threads=2)
    index.add(codes, np.arange(FIXED))
    done, problems = threading.Event(), []

    def write():
        try:
            while not done.is_set():
                if writer == "upserts":
                    ids = FIXED + rng.integers(0, 5000, 3000)
                    index.upsert(codes[:3000], ids)
                    index.remove(ids[:100])
                elif writer == "builds":
                    index.build()
                elif writer == "searches":
                    index.search(codes[:2000], 10)
                elif writer == "saves":
                    index.save(tmp_path / "parent")
                else:
                    fresh = HammingIndex(64)
                    fresh.add(codes, np.arange(FIXED)[::-1])
                    fresh.get([1, 2])
                    index.get(np.arange(FIXED))
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(12):
            time.sleep(rng.uniform(0, 0.02))
            assert in_child(lambda: use_everything(index, codes, tmp_path)) == 0
    finally:
        done.set()
        thread.join()
    assert not problems
    assert in_child(lambda: use_everything(index, codes, tmp_path)) == 0


def test_a_child_does_not_wait_for_a_writer_that_it_lacks(tmp_path):
    index = HammingIndex(64, threads=2)
    codes = random_codes(np.random.default_rng(2), FIXED, 64)
    index.add(codes)
    with index._writers.now:  # as if a thread were about to add
        assert in_child(lambda: use_everything(index, codes, tmp_path)) == 0
    index.add(codes[:1])


def test_child_of_a_child(tmp_path):
    index = HammingIndex(64, threads=2)
    codes = random_codes(np.random.default_rng(1), FIXED, 64)
    index.add(codes)
    index.search(codes[:500], 3)

    def work():
        use_everything(index, codes, tmp_path)
        assert in_child(lambda: use_everything(index, codes, tmp_path, 2 * 10**9)) == 0

    assert in_child(work) == 0


def test_nothing_of_python_runs_when_an_index_goes():
    # A weak reference's callback would, and Ctrl-C in there is lost.
    index = HammingIndex(64)
    assert not weakref.getweakrefs(index)
    assert not weakref.getweakrefs(index._writers)
