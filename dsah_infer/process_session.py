"""A model's session, one per process: opened at once, and again in the child of a fork."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from pathlib import Path

from dsah_infer.errors import ModelFileError, UsageError
from dsah_infer.onnx_file import read_model
from dsah_infer.session import OnnxSession, Session

__all__ = ["ProcessSession", "same_artefact"]


class ProcessSession:
    """Hands out the session of this process; thread-safe."""

    def __init__(self, path: Path, device: str, threads: int) -> None:
        self._path, self._device, self._threads = path, device, threads
        self._lock = threading.Lock()
        self._closed = False
        self._session: Session | None = self._open()
        self._fingerprint = self._session.contract.fingerprint
        _LIVE.add(self)

    def get(self) -> Session:
        """The open session.

        Raises:
            UsageError: It was closed.
            ModelFileError: It had to be opened again, and the file is another model by now.
        """
        with self._lock:
            if self._closed:
                raise UsageError("this Encoder was closed; make a new one")
            if self._session is None:
                session = self._open()
                same_artefact(self._path, session.contract.fingerprint, self._fingerprint)
                self._session = session
            return self._session

    def close(self) -> None:
        """Release the session; closing twice is fine."""
        with self._lock:
            self._closed = True
            if self._session is not None:
                self._session.close()
            self._session = None

    def after_fork(self) -> None:
        """In the child: forget the parent's session, and a lock one of its threads may hold."""
        self._lock = threading.Lock()
        if self._session is not None:
            self._session.abandon()
        self._session = None

    def _open(self) -> Session:
        if self._path.suffix == ".plan":
            from dsah_infer.tensorrt_session import TensorRtSession

            return TensorRtSession(self._path, self._device)
        return OnnxSession(read_model(self._path), self._device, self._threads)


def same_artefact(path: Path, found: str, expected: str) -> None:
    """Refuse a model file that was replaced since an encoder was made from it."""
    if found != expected:
        raise ModelFileError(
            f"{path}: holds another model (fingerprint {found}) than when this encoder was made "
            f"({expected}); make a new Encoder"
        )


_LIVE: weakref.WeakSet[ProcessSession] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_LIVE):
        session.after_fork()
    if "onnxruntime" in sys.modules:
        _exit_without_destructors()


def _exit_without_destructors() -> None:
    """Let this forked child end at ``exit``, after Python's own clean-up, with its status.

    onnxruntime's static destructors join threads that only the parent has: seen with 1.31, a
    child that ends by ``sys.exit`` hangs or aborts in them. glibc runs the last handler first.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):
        libc.on_exit(libc._exit, None)


os.register_at_fork(after_in_child=_after_fork)
