"""Settings from a YAML or JSON file, under the names that their flags have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dsah_infer.errors import ConfigError

__all__ = ["field_name", "read_file"]

#: YAML 1.1 reads 5e-4 as text, since it lacks a point.
_POINTLESS = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def field_name(name: str) -> str:
    """The field of `Config` behind a name as flags spell it: ``image-size``, ``lambda``."""
    name = name.replace("-", "_")
    return "lambda_" if name == "lambda" else name


def read_file(path: Path) -> dict[str, Any]:
    """Settings from a ``.json``, ``.yaml`` or ``.yml`` file.

    Raises:
        ConfigError: Not readable, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected settings as name: value, got {type(values).__name__}")
    return {field_name(str(name)): _number(value) for name, value in values.items()}


def _number(value: Any) -> Any:
    if isinstance(value, str) and _POINTLESS.fullmatch(value):
        return float(value)
    return value
