"""dsah_infer: pictures to binary codes to ranked galleries, without PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsah_infer.errors import DsahError

if TYPE_CHECKING:
    from dsah_infer.encoder import Encoder
    from dsah_infer.index import HammingIndex

__version__ = "0.1.0"
__all__ = ["DsahError", "Encoder", "HammingIndex", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: an index needs no onnxruntime, and `import dsah_infer` stays instant.
    if name == "Encoder":
        from dsah_infer.encoder import Encoder

        return Encoder
    if name == "HammingIndex":
        from dsah_infer.index import HammingIndex

        return HammingIndex
    raise AttributeError(f"module 'dsah_infer' has no attribute {name!r}")
