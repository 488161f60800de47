"""Large tensors lie in huge pages where the system has them, unless the user says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Advice to the kernel goes by whole pages, so tensors begin at one; by default they need not.
PROBE = """
import dsah_train, mmap, torch
tensors = [torch.empty((4 << 20) + 5000 * i, dtype=torch.uint8) for i in range(8)]
print(all(t.data_ptr() % mmap.PAGESIZE == 0 for t in tensors))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch asks Linux alone for huge pages")
@pytest.mark.parametrize(("chosen", "aligned"), [(None, "True"), ("0", "False")])
def test_the_allocator_is_asked_before_torch_is_there(chosen: str | None, aligned: str) -> None:
    env = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    if chosen is not None:
        env["THP_MEM_ALLOC_ENABLE"] = chosen
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == aligned
