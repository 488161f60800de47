"""Shared fixtures: seeds, and the real pictures and weights that DSAH_DATA names."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest

# A shell starts background jobs with Ctrl-C ignored, and programs started from them inherit that:
# tests that send it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed() -> None:
    random.seed(0)
    np.random.seed(0)


def _data(name: str) -> Path:
    root = os.environ.get("DSAH_DATA")
    path = Path(root).resolve() / name if root else None
    if path is None or not path.exists():
        reason = f"needs {name} in the folder that DSAH_DATA names (DSAH_DATA={root!r})"
        if os.environ.get("DSAH_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def flowers17() -> Path:
    """Oxford Flower-17 as a zip of class folders."""
    return _data("data/flowers17.zip")


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """CIFAR-10 as a zip of train/ and test/ class folders."""
    return _data("data/cifar10.zip")


@pytest.fixture(scope="session")
def squeezenet_weights() -> Path:
    """ImageNet weights of squeezenet1_1."""
    return _data("weights/squeezenet1_1.pth")
