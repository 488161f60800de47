"""Protocol names: which there are, and which data set each belongs to.

=========================  ======================================================================
``folders``                ``train/ query/ [gallery/]`` as they are
``class-folders``          a quarter of each class folder drawn as queries, the rest trains
``manifest``               CSV or JSON lines, with its own split column or a drawn split
``embedded:marks?...``     the drawn set
``<set>:<variant>``        an official set, as `describe_protocols` lists them
``open-set[:WHAT][@BASE]`` BASE (the data's default if absent) with classes held out of training;
                           WHAT is a count or comma-separated class names
=========================  ======================================================================
"""

from __future__ import annotations

from dsah_infer.errors import UsageError
from dsah_train.data.cifar10 import CIFAR10
from dsah_train.data.cub200 import CUB200
from dsah_train.data.dogs120 import DOGS120
from dsah_train.data.flowers17 import FLOWERS17
from dsah_train.data.flowers102 import FLOWERS102
from dsah_train.data.nuswide import NUSWIDE
from dsah_train.data.official import OfficialSet

__all__ = ["OFFICIAL_SETS", "describe_protocols", "find_set", "split_open_set"]

OFFICIAL_SETS: dict[str, OfficialSet] = {
    known.name: known for known in (CIFAR10, CUB200, DOGS120, FLOWERS17, FLOWERS102, NUSWIDE)
}


def find_set(protocol: str) -> OfficialSet:
    """The official set that a protocol name begins with.

    Raises:
        UsageError: There is none.
    """
    name = protocol.split(":", 1)[0]
    if name not in OFFICIAL_SETS:
        allowed = ", ".join(("folders", "class-folders", "manifest", *OFFICIAL_SETS, "open-set"))
        raise UsageError(f"protocol {protocol!r} is not known; allowed: {allowed}")
    return OFFICIAL_SETS[name]


def split_open_set(protocol: str | None) -> tuple[str | None, str | None]:
    """Take ``open-set[:WHAT][@BASE]`` apart: (WHAT or None outside open-set, BASE or None)."""
    if not protocol or protocol.split(":")[0].split("@")[0] != "open-set":
        return None, protocol or None
    head, at, base = protocol.rpartition("@")
    return (head if at else protocol).partition(":")[2], (base if at else "") or None


def describe_protocols() -> str:
    """One line per official protocol, for help texts and documents."""
    return "\n".join(
        f"{f'{known.name}:{variant}':<23} {text}"
        for known in OFFICIAL_SETS.values()
        for variant, text in known.protocols.items()
    )
