"""Names to methods."""

from __future__ import annotations

from dsah_infer.errors import ConfigError
from dsah_train.methods.dsah import DSaH
from dsah_train.methods.method import Method

__all__ = ["method_class"]

_CLASSES: dict[str, type[Method]] = {"dsah": DSaH}


def method_class(name: str) -> type[Method]:
    """The class that trains a method.

    Raises:
        ConfigError: Unknown name.
    """
    if name not in _CLASSES:
        raise ConfigError(f"method {name!r}, allowed: {', '.join(sorted(_CLASSES))}")
    return _CLASSES[name]
