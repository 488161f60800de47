"""The report of an evaluation: a table for the terminal, Markdown with pictures, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsah_infer.atomic_file import replacing
from dsah_train.artefacts import Artefact
from dsah_train.measurement import Measurement
from dsah_train.report_pictures import Section, draw_pictures

__all__ = ["format_table", "markdown_table", "rows_of", "write_report", "write_text"]


def rows_of(measurement: Measurement) -> list[tuple[str, str]]:
    """Name and value of each figure, in the order of the report."""
    e = measurement.evaluation
    rows = [
        ("MAP@all", f"{e.map:.4f}"),
        ("  95 % interval over queries", f"{e.map_interval.low:.4f} to {e.map_interval.high:.4f}"),
        ("  expected over ties", f"{e.map_expected:.4f}"),
        ("  worst to best over ties", f"{e.map_worst:.4f} to {e.map_best:.4f}"),
    ]
    if e.map_asymmetric is not None:
        rows.append(("MAP@all, float queries", f"{e.map_asymmetric:.4f}"))
    rows += [(f"MAP@all, first {n} bits", f"{v:.4f}") for n, v in measurement.prefixes.items()]
    for k, value in e.map_at.items():
        retrieved = e.map_at_retrieved[k]
        rows.append((f"MAP@{k} (of retrieved)", f"{value:.4f} ({retrieved:.4f})"))
    rows += [(f"precision@{n}", f"{value:.4f}") for n, value in e.precision_at.items()]
    rows += [
        ("precision within radius 2", f"{e.precision_radius2:.4f}"),
        ("  queries with none there", f"{e.empty_radius2:.1%}"),
        ("queries without a match", f"{e.queries_without_match} of {e.queries}"),
        *_left_out(measurement),
        ("distinct gallery codes", f"{e.health.distinct} of {e.health.codes}"),
        ("  entropy of codes", f"{e.health.code_entropy:.2f} bits"),
        ("bit balance", f"{e.health.balance:.3f}"),
        ("mean |bit correlation|", f"{e.health.correlation:.3f}"),
        ("mean bit entropy", f"{e.health.bit_entropy:.3f} bits"),
    ]
    if e.health.constant_bits:
        rows.append(("constant bits", f"{e.health.constant_bits} of {len(e.health.ones)}"))
    if (s := measurement.saliency) is not None:
        rows += [
            ("pointing game", f"{s.pointing:.4f} (chance {s.area:.4f})"),
            ("saliency mass on the mask", f"{s.mass:.4f} (chance {s.area:.4f})"),
        ]
        if s.pictures < e.queries:
            rows.append(("  queries with a mask in view", f"{s.pictures} of {e.queries}"))
    if (o := measurement.open_set) is not None:
        single = len(measurement.data["unseen"]) == 1
        alone = " (one class: there is nothing else to find)" if single else ""
        rows += [
            ("MAP, seen on seen", f"{o.seen_on_seen.map:.4f}"),
            ("MAP, seen on all", f"{o.seen_on_all.map:.4f}"),
            ("MAP, unseen on unseen", f"{o.unseen_on_unseen.map:.4f}{alone}"),
            ("MAP, unseen on all", f"{o.unseen_on_all.map:.4f}"),
            ("false hits per unseen query", f"{o.unseen_on_seen_false_hits:.2f}"),
        ]
    return rows


def _left_out(m: Measurement) -> list[tuple[str, str]]:
    count = m.data["queries_trained_on"]
    return [("queries left out, trained on", str(count))] if count else []


def format_table(measurement: Measurement) -> str:
    """The figures as aligned text."""
    rows = rows_of(measurement)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def markdown_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)


def write_report(
    measurement: Measurement, artefact: Artefact, out: Path, *, pictures: bool = True
) -> Path:
    """Write ``evaluation.json``, ``report.md`` and its pictures into ``out``.

    Args:
        measurement: What was measured.
        artefact: What encoded the queries; asked for saliency maps.
        out: Folder, made where it is missing.
        pictures: Whether to draw.

    Returns:
        Path of the report.
    """
    out.mkdir(parents=True, exist_ok=True)
    # First: whatever happens to a picture, the figures that took the time are safe.
    write_text(out / "evaluation.json", measurement.to_json() + "\n")
    sections = draw_pictures(measurement, artefact, out) if pictures else []
    return write_text(out / "report.md", _markdown(measurement, sections))


def write_text(path: Path, text: str) -> Path:
    """Write a UTF-8 text file, whole or not at all; what is no Unicode in names is escaped."""
    with replacing(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
    return path


def _markdown(m: Measurement, sections: list[Section]) -> str:
    e, data, made = m.evaluation, m.data, m.artefact
    parts = [
        f"# {made['method']}, {made['bits']} bits, on {data['name']}",
        f"{data['summary']}. {e.queries:,} queries, {e.gallery:,} gallery items.",
        f"Codes by `{made['file']}` (fingerprint `{made['fingerprint']}`, space "
        f"`{made['space']}`, {made['size']} px, {made['precision']}).",
    ]
    if made["start_weights"]:
        start = made["start_weights"]
        what = "random weights" if start == "random" else f"ImageNet weights `{start[:12]}`"
        parts.append(f"The backbone started from {what}.")
    if m.gallery_artefact != made:
        other = m.gallery_artefact
        parts.append(
            f"The gallery was encoded by `{other['file']}` ({other['method']}, fingerprint "
            f"`{other['fingerprint']}`) of the same space."
        )
    if data["note"]:
        parts.append(f"**Note:** {data['note']}")
    if data["queries_trained_on"]:
        parts.append(
            f"**{data['queries_trained_on']:,} queries besides these are training pictures of the "
            "model and were left out:** its training had another split seed or protocol, or the "
            "pictures have changed since."
        )
    if data["duplicates"]:
        parts.append(f"**{data['duplicates']} queries also occur in train or gallery.**")
    if data["skipped"]:
        names = ", ".join(f"`{name}`" for name in data["skipped"][:10])
        parts.append(f"**{len(data['skipped'])} unreadable pictures were left out:** {names}")
    rows = [(name.strip(), value) for name, value in rows_of(m)]
    parts += [markdown_table(("figure", "value"), rows), DEFINITIONS]
    for section in sections:
        parts.append(f"## {section.title}\n\n{section.text}\n\n![{section.title}]({section.file})")
    if m.config:
        settings = [(f"`{name}`", f"`{value}`") for name, value in m.config.items()]
        parts.append(
            "## Settings of the training run\n\n" + markdown_table(("name", "value"), settings)
        )
    return "\n\n".join(parts) + "\n"


DEFINITIONS = (
    "Order: ascending (distance, id), as `HammingIndex` returns it, with ids drawn by a fixed seed "
    "so that ties know nothing of the classes. MAP@all divides by the "
    "relevant items of the gallery; MAP@k by min(relevant, k), in brackets by the relevant items "
    "retrieved. A query without a match counts as 0. The interval is a bootstrap over queries, for "
    "this one model. Definitions: `dsah_train/metrics/average_precision.py`."
)
