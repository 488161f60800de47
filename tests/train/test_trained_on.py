"""Queries and classes that a model was trained on do not count as unseen."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from dsah_infer.errors import UsageError  # noqa: E402
from dsah_train.__main__ import main  # noqa: E402
from dsah_train.artefacts import open_artefact  # noqa: E402
from dsah_train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from dsah_train.data import load_dataset  # noqa: E402
from dsah_train.fit import fit  # noqa: E402
from dsah_train.measurement import measure  # noqa: E402
from dsah_train.models import build_model  # noqa: E402

CLASSES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four class folders of eight pictures; two of each are drawn as queries."""
    root = tmp_path_factory.mktemp("data") / "set"
    rng = np.random.default_rng(0)
    for label in CLASSES:
        (root / label).mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


def trained(path, data, seed, protocol="", names=True, space=""):
    """A checkpoint that says that it was trained on this data."""
    dataset = load_dataset(data, split_seed=seed, protocol=protocol)
    config = Config(
        bits=8,
        image_size=32,
        train_size=32,
        backbone="squeezenet1_1",
        split_seed=seed,
        protocol=protocol,
    )
    save_checkpoint(
        path,
        model=build_model(config, len(dataset.class_names)).eval(),
        config=config,
        class_names=dataset.class_names,
        metrics={},
        train_names=dataset.train.names if names else (),
        space=space,
    )
    return path


@pytest.fixture(scope="module")
def ckpt(folder, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run") / "ckpt.pt", folder, 2)


def evaluate(path, data, out, *arguments):
    """Exit code of the command."""
    return main(
        ["evaluate", str(path), "--data", str(data), "--no-pictures", "--out", str(out), *arguments]
    )


def record_of(out):
    return json.loads((out / "evaluation.json").read_text())


def test_queries_of_the_own_split_all_count(ckpt, folder, tmp_path, capsys, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = measure(open_artefact(ckpt), load_dataset(folder, split_seed=2))
    assert m.data["queries_trained_on"] == 0
    assert m.evaluation.queries == 8
    assert evaluate(ckpt, folder, tmp_path) == 0
    assert "trained on" not in capsys.readouterr().out + caplog.text
    assert "left out" not in (tmp_path / "report.md").read_text()


def test_another_split_seed_leaves_out_training_pictures(ckpt, folder, tmp_path, capsys, caplog):
    asked = load_dataset(folder, split_seed=3).query.names
    known = set(load_dataset(folder, split_seed=2).train.names)
    fresh = [name for name in asked if name not in known]
    assert 0 < len(fresh) < 8
    assert evaluate(ckpt, folder, tmp_path, "--split-seed", "3") == 0
    assert f"{8 - len(fresh)} of 8 queries are training pictures" in caplog.text
    assert "trained with split seed 2" in caplog.text
    assert "draws with split seed 3" in caplog.text
    assert "queries left out, trained on" in capsys.readouterr().out
    record = record_of(tmp_path)
    assert record["data"]["queries_trained_on"] == 8 - len(fresh)
    assert record["data"]["query_names"] == fresh
    assert record["evaluation"]["queries"] == len(fresh)
    assert f"**{8 - len(fresh)} queries besides these" in (tmp_path / "report.md").read_text()


def test_a_picture_that_moves_the_draw_is_noticed(ckpt, folder, tmp_path):
    grown = shutil.copytree(folder, tmp_path / "grown")
    for label in CLASSES:
        Image.new("RGB", (40, 40), "navy").save(grown / label / "00.png")
    known = set(load_dataset(folder, split_seed=2).train.names)
    data = load_dataset(grown, split_seed=2)
    seen = [name for name in data.query.names if name in known]
    assert seen
    with pytest.warns(UserWarning, match="one more in a class moves the draw"):
        m = measure(open_artefact(ckpt), data)
    assert m.data["queries_trained_on"] == len(seen)
    assert not known & set(m.data["query_names"])


def test_no_query_left_is_refused(ckpt, folder, tmp_path, capsys):
    known = load_dataset(folder, split_seed=2).train.names
    apart = tmp_path / "apart"
    for name in known:
        (apart / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, apart / name)
    assert evaluate(ckpt, apart, tmp_path / "out") == 2
    assert "none is left to ask with" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_without_names_can_only_be_warned_of(folder, tmp_path):
    old = open_artefact(trained(tmp_path / "ckpt.pt", folder, 2, names=False))
    with pytest.warns(UserWarning, match="cannot be left out.*--split-seed 2"):
        m = measure(old, load_dataset(folder, split_seed=0))
    assert (m.evaluation.queries, m.data["queries_trained_on"]) == (8, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(old, load_dataset(folder, split_seed=2))


@pytest.fixture(scope="module")
def graph(ckpt, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from export.to_onnx import export_onnx

    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(load_checkpoint(ckpt), path)
    return path


def test_a_graph_alone_is_warned_of_and_its_checkpoint_knows(graph, ckpt, folder, tmp_path, caplog):
    caplog.set_level("WARNING")

    def said(*arguments):
        caplog.clear()
        assert evaluate(*arguments) == 0
        return caplog.text

    assert "seed 0 is assumed" in said(graph, folder, tmp_path / "a")
    assert "warning" not in said(graph, folder, tmp_path / "b", "--split-seed", "2")
    given = ("--model", str(graph), "--split-seed", "3")
    assert "are training pictures" in said(ckpt, folder, tmp_path / "c", *given)
    assert record_of(tmp_path / "c")["artefact"]["file"] == "model.onnx"
    assert record_of(tmp_path / "c")["config"]["split_seed"] == 2
    parts = tmp_path / "parts"
    for part in ("train", "query"):  # nothing is drawn here
        shutil.copytree(folder, parts / part)
    assert "seed 0 is assumed" not in said(graph, parts, tmp_path / "d")


def test_classes_of_the_training_are_not_unseen(ckpt, folder, tmp_path, capsys):
    given = ("--protocol", "open-set:a,b", "--split-seed", "2")
    assert evaluate(ckpt, folder, tmp_path / "out", *given) == 2
    error = capsys.readouterr().err
    assert "calls a, b unseen" in error
    assert "trained on them" in error
    assert not (tmp_path / "out").exists()


def test_held_out_classes_of_the_training_are_unseen(folder, tmp_path):
    model = open_artefact(trained(tmp_path / "ckpt.pt", folder, 2, "open-set:a,b"))

    def measured(held):
        return measure(model, load_dataset(folder, split_seed=2, protocol=f"open-set:{held}"))

    assert measured("a,b").open_set.unseen_on_all.queries == 4
    assert measured("b").open_set.unseen_on_all.queries == 2
    with pytest.raises(UsageError, match="calls c unseen"):
        measured("b,c")
    drawn = open_artefact(trained(tmp_path / "drawn.pt", folder, 0, "open-set:1"))
    data = [load_dataset(folder, split_seed=s, protocol="open-set:1") for s in range(8)]
    assert measure(drawn, data[0]).open_set is not None
    other = next(d for d in data if d.unseen != data[0].unseen)
    with pytest.raises(UsageError, match="open-set:1, split seed 0"):
        measure(drawn, other)


def test_a_graph_does_not_say_which_classes_were_held_out(graph, folder):
    data = load_dataset(folder, split_seed=2, protocol="open-set:a")
    with pytest.warns(UserWarning, match="does not say whether a were held out"):
        measure(open_artefact(graph), data)


def test_classes_that_the_gallerys_model_was_trained_on_are_not_unseen(folder, tmp_path):
    student, teacher = (
        open_artefact(trained(tmp_path / f"{name}.pt", folder, 2, protocol, space="s"))
        for name, protocol in (("student", "open-set:a,b"), ("teacher", ""))
    )
    data = load_dataset(folder, split_seed=2, protocol="open-set:a,b")
    assert measure(student, data).open_set is not None
    with pytest.raises(UsageError, match=r"calls a, b unseen, but .*teacher\.pt was"):
        measure(student, data, gallery_artefact=teacher)


def test_a_teacher_of_all_classes_has_no_students_of_some(ckpt, folder, tmp_path):
    data = load_dataset(folder, split_seed=2, protocol="open-set:a,b")
    settings = Config.with_preset(method="dagh", teacher=str(ckpt), protocol="open-set:a,b")
    with pytest.raises(UsageError, match="calls a, b unseen"):
        fit(settings, data, tmp_path / "run", weights="none", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_student_of_an_older_teacher_is_warned_of(folder, tmp_path, caplog):
    old = trained(tmp_path / "ckpt.pt", folder, 2, names=False)
    data = load_dataset(folder, split_seed=2)
    settings = Config.with_preset(
        method="dagh", teacher=str(old), image_size=32, train_size=32, epochs=1, warm_start=0
    ).replace(select=False)
    fit(settings, data, tmp_path / "run", weights="none", device="cpu", progress=False)
    assert "does not keep what it was trained on" in caplog.text
