"""A lock between threads that the child of a fork finds open."""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """One thread at a time: ``with lock.now: ...``.

    A child process has only the thread that forked. Whoever else held the lock would never open
    it there, so a child gets a new one.

    Attributes:
        now: The lock of this process. It is taken by ``with`` directly, not by an ``__enter__``
            of ours: Ctrl-C in the middle of that would leave it locked.
    """

    def __init__(self) -> None:
        self.now = threading.Lock()
        _locks.add(self)


_locks: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


def _renew() -> None:
    for lock in _locks:
        lock.now = threading.Lock()


os.register_at_fork(after_in_child=_renew)
