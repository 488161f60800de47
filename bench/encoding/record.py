"""Results of ``bench/encode.py`` on disk: JSON that a killed run continues, and Markdown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dsah_infer.doctor import examine
from dsah_train.report import markdown_table, write_text

__all__ = ["Results", "machine"]


def machine() -> dict[str, Any]:
    """Versions, processor and load, printed beside every figure."""
    sections = examine().sections
    return {"software": sections["software"], "processor": sections["processor"],
            "load": [round(x, 2) for x in os.getloadavg()]}  # fmt: skip


class Results:
    """Sections by name in ``encode.json``; writing one rewrites ``encode.md``.

    A section counts as done when it was measured with the same settings.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        path = folder / "encode.json"
        self.sections: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def done(self, name: str, settings: dict[str, Any]) -> bool:
        """Whether the section is there, with these settings."""
        return bool(self.sections.get(name, {}).get("settings") == settings)

    def add(
        self, name: str, command: str, settings: dict[str, Any], rows: list[dict[str, Any]]
    ) -> None:
        """Keep a section, with where and how it was measured."""
        self.sections[name] = {"command": command, "settings": settings,
                               "machine": machine(), "rows": rows}  # fmt: skip
        write_text(self.folder / "encode.json", json.dumps(self.sections, indent=1) + "\n")
        write_text(self.folder / "encode.md", self.markdown())

    def markdown(self) -> str:
        """All sections as tables, each with its command, settings and machine."""
        parts = ["# Encoding, measured"]
        for name, section in self.sections.items():
            rows, where = section["rows"], section["machine"]
            header = tuple(dict.fromkeys(key for row in rows for key in row))
            cells = [tuple(_cell(row.get(key, "")) for key in header) for row in rows]
            parts += [
                f"## {name}",
                f"`{section['command']}` with {section['settings']}; "
                f"{where['processor'].get('model', '')}, load {where['load']}, "
                + ", ".join(f"{k} {v}" for k, v in where["software"].items()),
                markdown_table(header, cells),
            ]
        return "\n\n".join(parts) + "\n"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
