"""Settings from a YAML or JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dsah_infer.errors import ConfigError

__all__ = ["read_file"]


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
    return values
