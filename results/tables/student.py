"""Students in a teacher's code space: MAP on the teacher's gallery, and cost per picture."""

from __future__ import annotations

from results.grids.student import GRID, TEACHERS
from results.tables.records import load, markdown, shown_map

__all__ = ["table"]


def table() -> str:
    """Each teacher, then its students."""
    names = {}
    for teacher, looks in TEACHERS.items():
        names[teacher] = f"teacher {looks}"
        students = [cell for cell in GRID.cells if cell.teacher == teacher]
        names |= {f"{cell.grid}/{cell.name}": f"its student: {cell.note}" for cell in students}
    costs = load("cost").get("student", {"cost": {}})["cost"]
    records = {
        f"{grid}/{name}": r for grid in ("rivals", "student") for name, r in load(grid).items()
    }
    rows = []
    for run, label in names.items():
        if run not in records or not load("student"):
            continue
        cost = costs.get(run)
        shown = ("–", "–", "–")
        if cost is not None:
            millions = f"{cost['parameters'] / 1e6:.2f} M", f"{cost['macs'] / 1e6:.0f} M"
            shown = (*millions, f"{cost['ms_per_image']:.2f}")
        rows.append((label, shown_map(records[run]), *shown))
    header = (
        "encoder of the queries",
        "MAP@all on the teacher's gallery",
        *("parameters", "MACs a picture", "ms a picture, one thread"),
    )
    return markdown(header, rows)
