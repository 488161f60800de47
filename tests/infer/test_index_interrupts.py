"""Ctrl-C: real signals to a real process in the middle of each kind of long call."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("interrupted_calls.py")
KINDS = re.findall(r'^    "([a-z ]+)": ', PROGRAM.read_text(), re.MULTILINE)
PROMISE = 0.2  # seconds


class Caller:
    """A process with large indexes that calls what it is told to."""

    def __init__(self, folder, threads, size):
        command = [sys.executable, "-m", "tests.infer.interrupted_calls"]
        self.process = subprocess.Popen(
            [*command, str(folder), str(threads), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def interrupt(self, kind, latest=0.4):
        """Seconds from the signal, at a random moment up to ``latest``, to the exception."""
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "ready"
        time.sleep(random.uniform(0.02, latest))
        asked = time.time()
        self.process.send_signal(signal.SIGINT)
        stopped, usable = self.process.stdout.readline().split()
        assert usable == "True"
        return float(stopped) - asked

    def check(self, kind, latest=0.4):
        # A busy machine may keep any process waiting for a while, but hardly three times in a row.
        delays = []
        for _ in range(3):
            delays.append(self.interrupt(kind, latest))
            if delays[-1] < PROMISE:
                return
        raise AssertionError(f"{kind}: Ctrl-C took {delays} s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_the_program_is_read_rightly():
    assert len(KINDS) > 20


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with Caller(tmp_path_factory.mktemp("small"), 2, 500_000) as caller:
        yield caller


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_stops_a_call_and_leaves_the_index_usable(kind, small):
    small.check(kind)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_at_ten_million_codes(threads, tmp_path):
    with Caller(tmp_path, threads, 10_000_000) as caller:
        for kind in KINDS:
            caller.check(kind, latest=5)  # so that every phase is met
