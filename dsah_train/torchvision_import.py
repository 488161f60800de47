"""The one place that imports torchvision.

torchvision's wheel on the package index is built for CUDA. Beside a CPU-only torch its compiled
operators do not load, and its import then fails because two of them (`nms`, `qnms`) are unknown
to the dispatcher. Declaring their signatures first is all that the import needs; nothing here
detects boxes, so they are never called. Where torchvision's own operators load, this does nothing.
"""

from __future__ import annotations

import torch

__all__ = ["torchvision"]

#: Kept alive for the life of the process: the declarations vanish with the library object.
_declared: torch.library.Library | None = None

if torch.version.cuda is None and torch.version.hip is None:
    _declared = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _declared.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

try:
    import torchvision
except RuntimeError:
    # A torchvision that does load its operators defines them itself: a second time is an error.
    if _declared is None:
        raise
    _declared = None
    import torchvision
