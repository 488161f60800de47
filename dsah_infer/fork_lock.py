"""A lock between threads that the child of a fork finds open."""

from __future__ import annotations

import os
import threading

__all__ = ["ForkSafeLock"]

_forks = 0  # from the first process to this one
_renewing = threading.Lock()


class ForkSafeLock:
    """One thread at a time: ``with lock.now: ...``.

    A child process has only the thread that forked. Whoever else held the lock would never open
    it there, so a child gets a new one, when it first asks. Nobody keeps a list of all locks: a
    weak one would run Python code whenever a lock goes, and Ctrl-C in there is lost.
    """

    def __init__(self) -> None:
        self._lock, self._forks = threading.Lock(), _forks

    @property
    def now(self) -> threading.Lock:
        """The lock of this process.

        It is taken by ``with`` directly, not by an ``__enter__`` of ours: Ctrl-C in the middle of
        that would leave it locked.
        """
        if self._forks != _forks:
            with _renewing:
                if self._forks != _forks:
                    self._lock, self._forks = threading.Lock(), _forks
        return self._lock


def _after_fork() -> None:
    global _forks, _renewing
    _forks, _renewing = _forks + 1, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
