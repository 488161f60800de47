"""Settings from a YAML or JSON file, under the names that their flags have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dsah_infer.errors import ConfigError

__all__ = ["field_name", "read_file"]

#: YAML 1.1 reads 5e-4 and 1.5e2 as text: it wants a point, and a sign in the exponent.
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


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
        values = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected settings as name: value, got {type(values).__name__}")
    named: dict[str, Any] = {}
    for name, value in values.items():
        field = field_name(str(name))
        if field in named:
            raise ConfigError(f"{path}: {field} is set twice (last as {name})")
        named[field] = _number(value)
    return named


def _yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: It is none.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value
