"""Students in a teacher's code space: MAP on the teacher's gallery, and cost per picture."""

from __future__ import annotations

from results.grids.student import GRID
from results.tables.records import load, markdown, shown_map

__all__ = ["table"]


def table() -> str:
    """The teacher, then its students."""
    teacher, students = load("rivals").get("dsah-48"), load("student")
    rows = []
    if teacher is not None and students:
        rows.append(("teacher: DSaH, 128 pixels", shown_map(teacher), "1"))
    for cell in GRID.cells:
        if cell.name in students:
            record = students[cell.name]
            rows.append((f"student: {cell.note}", shown_map(record), ""))
    return markdown(("encoder of the queries", "MAP@all on the teacher's gallery", "cost"), rows)
