"""Large tensors in huge pages: on Linux, training on CPUs spends much time on page faults.

Activations of a batch are tens of megabytes each; they are allocated and returned to the system at
every layer, and each time the kernel clears them page by page. PyTorch's CPU allocator asks for
pages of 2 MiB instead where this variable is set before its first allocation; results are the
same bits. ``THP_MEM_ALLOC_ENABLE=0`` in the environment turns it off.
"""

from __future__ import annotations

import os

__all__ = ["ask_for_huge_pages"]


def ask_for_huge_pages() -> None:
    """Turn huge pages on unless the environment says otherwise; call before importing torch."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
