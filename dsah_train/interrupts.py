"""Ctrl-C that waits for a write to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["deferred_interrupt"]


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back inside the block and raise it at its end.

    ``torch.save`` that is interrupted ends in a RuntimeError of its own, which hides the
    interrupt and leaves the epoch that was being saved behind.

    Raises:
        KeyboardInterrupt: Ctrl-C came inside the block.
    """
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
