"""What the documents print is what the result files say, and the grids hold what they promise."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dsah_train.config import METHODS as ALL
from dsah_train.config import Config
from dsah_train.presets import preset_values
from results import choices, rates, run, table
from results.cells import Cell, Grid
from results.grids import GRIDS
from results.grids.ablations import SWITCHED_BACK
from results.grids.rivals import METHODS, RATES
from results.tables.records import gain, load, map_of

ROOT = Path(__file__).parents[2]


def test_the_documents_print_the_result_files() -> None:
    command = [sys.executable, str(ROOT / "results" / "table.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_table_is_made_from_its_files() -> None:
    text = "before\n<!-- results:flowers17 -->\nstale\n<!-- /results:flowers17 -->\nafter\n"
    new = table.render(text)
    assert "stale" not in new
    assert new.startswith("before\n<!-- results:flowers17 -->\n| bits |")
    assert table.render(new) == new
    records = load("flowers17")
    bits = next(iter(records.values()))["settings"]["bits"]
    values = [map_of(r) for r in records.values() if r["settings"]["bits"] == bits]
    assert f"| {bits} | {sum(values) / len(values):.4f}" in new
    with pytest.raises(KeyError, match="unknown"):
        table.render("<!-- results:unknown -->\n<!-- /results:unknown -->")


@pytest.mark.parametrize("name", [n for n, grid in GRIDS.items() if not grid.gpu])
def test_every_cell_has_its_file(name: str) -> None:
    assert {cell.name for cell in GRIDS[name].cells} <= set(load(name))


@pytest.mark.parametrize("name", GRIDS)
def test_every_file_has_the_settings_of_its_cell(name: str) -> None:
    records = load(name)
    changed = {
        cell.name: GRIDS[name].changed(cell, records[cell.name])
        for cell in GRIDS[name].cells
        if cell.name in records
    }
    assert not {cell: names for cell, names in changed.items() if names}


@pytest.mark.parametrize("file", sorted(choices.FOLDER.iterdir()), ids=lambda file: file.stem)
def test_every_choice_is_what_its_file_says(file: Path) -> None:
    kept = json.loads(file.read_text())
    choice, split = kept["choice"], kept["settings"]["split_seed"]
    assert choices.path_of(choice, split) == file
    settings = {"bits": 48, "split_seed": split, **choices.CHOICES[choice]}
    cell = Cell("choices", choice, settings)
    assert Grid("?", "a.zip", 1, (cell,)).changed(cell, kept) == []


def test_what_was_tried_around_the_defaults_is_around_those_of_today() -> None:
    kept = json.loads(RATES["flowers17"].read_text())
    cell = Cell("rates", "dsah", dict(rates.BUDGET))
    assert Grid("?", "a.zip", 1, (cell,)).changed(cell, {"settings": kept["dsah_defaults"]}) == []


@pytest.mark.parametrize("name", [cell.name for cell in GRIDS["student"].cells])
def test_students_were_measured_in_the_gallery_of_their_teacher(name: str) -> None:
    cell = next(cell for cell in GRIDS["student"].cells if cell.name == name)
    grid, _, teacher = cell.teacher.partition("/")
    searched = load("student")[name]["measurement"]["gallery_artefact"]
    assert searched["fingerprint"] == load(grid)[teacher]["measurement"]["artefact"]["fingerprint"]


def test_a_file_of_other_settings_is_told() -> None:
    cell = Cell("g", "a", {"lr": 0.1, "bits": 12})
    grid = Grid("?", "a.zip", 1, (cell,))
    settings = dataclasses.asdict(Config.with_preset(lr=0.1, bits=12))
    assert grid.changed(cell, {"settings": settings}) == []
    assert grid.changed(cell, {"settings": settings | {"lr": 0.2, "arity": 8}}) == ["lr"]
    # A default that has changed since, and one that there was no setting for.
    assert grid.changed(cell, {"settings": settings | {"margin": 0.5}}) == ["margin"]
    del settings["code_norm"]
    assert grid.changed(cell, {"settings": settings}) == ["code_norm"]


def test_a_gain_is_the_difference_of_two_maps() -> None:
    first, second = list(load("flowers17").values())[:2]
    value = gain(first, second)
    assert value.mean == pytest.approx(map_of(first) - map_of(second))
    assert value.low < value.mean < value.high


def test_every_departure_of_best_has_its_ablation() -> None:
    best = dataclasses.asdict(Config.with_preset())
    #: Networks and epochs are the budget.
    budget = {"preset", "backbone", "epochs"}
    paper = dataclasses.asdict(Config.with_preset(preset="paper"))
    departures = {name for name, value in paper.items() if best[name] != value} - budget
    # `best` trains both networks at once, for which the paper has weights of its own.
    joint = preset_values("paper", "dsah", "vgg16", {"alternate": "joint"})
    weights = {name: joint[name] for name in ("lambda_", "alpha") if best[name] != joint[name]}
    put_back = {
        name: value for settings in SWITCHED_BACK.values() for name, value in settings.items()
    }
    assert set(put_back) == departures | set(weights)
    assert put_back == {name: (paper | weights)[name] for name in put_back}


@pytest.mark.parametrize("name", GRIDS)
def test_every_cell_is_a_valid_setting_and_has_its_own_file(name: str) -> None:
    cells = GRIDS[name].cells
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        assert cell.grid == name
        Config.with_preset(**cell.settings)
        if cell.teacher:
            grid, _, teacher = cell.teacher.partition("/")
            assert teacher in {c.name for c in GRIDS[grid].cells}


def test_nothing_is_measured_from_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "load_weights", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["run.py", "marks18", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        run.main()
    assert "no ImageNet weights for squeezenet1_1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_grids_for_a_gpu_are_left_out_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid("q", "embedded:marks", 1, (Cell("g", "a"),), gpu=True)
    monkeypatch.setitem(run.GRIDS, "g", grid)
    monkeypatch.setattr(sys, "argv", ["run.py", "g", "--out", str(tmp_path)])
    monkeypatch.setattr(run, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(SystemExit) as stop:
        run.main()
    assert stop.value.code == 0
    assert "needs a CUDA device" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_every_method_is_measured() -> None:
    assert {settings["method"] for settings in METHODS.values()} == set(ALL)


def test_what_is_done_is_skipped_and_failures_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid("q", "embedded:marks", 1, tuple(Cell("g", name) for name in ("a", "b", "c")))
    monkeypatch.setitem(run.GRIDS, "g", grid)
    monkeypatch.setattr(sys, "argv", ["run.py", "g", "--out", str(tmp_path)])
    asked = []

    def measure(cell: Cell, data: str, work: Path) -> dict[str, str]:
        asked.append(cell.name)
        if cell.name == "b" and len(asked) < 3:
            raise subprocess.CalledProcessError(3, "fit")
        return {"cell": cell.name, "data": data}

    monkeypatch.setattr(run, "measure", measure)
    with pytest.raises(SystemExit) as stop:
        run.main()
    assert stop.value.code == 1
    assert "b failed with exit code 3" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "g").iterdir()) == ["a.json", "c.json"]
    with pytest.raises(SystemExit) as stop:
        run.main()
    assert stop.value.code == 0
    assert asked == ["a", "b", "c", "b"]
    kept = json.loads((tmp_path / "g" / "b.json").read_text())
    assert kept == {"cell": "b", "data": "embedded:marks"}
