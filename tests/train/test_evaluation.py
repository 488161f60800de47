"""The evaluate command on real files: a checkpoint, an exported graph, masks, bad pictures."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from dsah_infer.errors import PictureError, SpaceMismatchError, UsageError  # noqa: E402
from dsah_train.__main__ import main  # noqa: E402
from dsah_train.artefacts import CheckpointArtefact, open_artefact  # noqa: E402
from dsah_train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from dsah_train.config import Config  # noqa: E402
from dsah_train.data import decode_masks, decode_part, load_dataset  # noqa: E402
from dsah_train.encode import encode  # noqa: E402
from dsah_train.measurement import measure  # noqa: E402
from dsah_train.metrics import Evaluation, mean_average_precision, score_saliency  # noqa: E402
from dsah_train.models import build_model  # noqa: E402
from dsah_train.report_pictures import draw_pictures  # noqa: E402
from tests import reference  # noqa: E402

DATA = "embedded:marks?classes=3&train=8&query=4&size=64&mark=0.25"


def checkpoint(path, seed, space="", protocol=""):
    """An untrained network: what is tested here is the measuring, not the model."""
    config = Config(
        bits=12, image_size=64, train_size=64, backbone="squeezenet1_1", protocol=protocol
    )
    torch.manual_seed(seed)
    model = build_model(config, 3).eval()
    data = load_dataset(DATA, protocol=protocol)
    save_checkpoint(
        path,
        model=model,
        config=config,
        class_names=data.class_names,
        metrics={},
        space=space,
        train_names=data.train.names,
    )
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("run") / "ckpt.pt", 0)


@pytest.fixture(scope="module")
def evaluated(ckpt, tmp_path_factory):
    """One full run of the command, with its printed table."""
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    command = ["evaluate", str(ckpt), "--data", DATA, "--topk", "3", "99", "--out", str(out)]
    assert main(command) == 0
    return out


def test_numbers_equal_the_parts_put_together_by_hand(ckpt, evaluated):
    record = json.loads((evaluated / "evaluation.json").read_text())
    e = Evaluation.from_dict(record["evaluation"])
    trained, data = load_checkpoint(ckpt), load_dataset(DATA)
    rule = trained.contract.pixels
    query, gallery = (
        encode(trained.model, decode_part(part, rule), trained.contract, saliency=True)
        for part in (data.query, data.gallery)
    )
    codes = (query.codes, data.query.targets, gallery.codes, data.gallery.targets)
    assert e.map == mean_average_precision(*codes, bits=12)
    assert e.map_at == {3: mean_average_precision(*codes, bits=12, topk=3)}
    weighted = mean_average_precision(*codes, bits=12, weights=query.activations)
    assert e.map_asymmetric == weighted
    score = score_saliency(query.saliency, decode_masks(data.query, rule).astype(bool))
    assert record["saliency"]["pointing"] == score.pointing
    assert record["saliency"]["mass"] == pytest.approx(score.mass)
    assert record["artefact"]["fingerprint"] == trained.contract.fingerprint
    assert record["config"]["bits"] == 12
    assert (e.queries, e.gallery) == (12, 24)
    assert record["data"]["query_names"] == list(data.query.names)
    assert record["data"]["queries_trained_on"] == 0
    assert np.mean(e.average_precision_expected) == pytest.approx(e.map_expected)


def test_report_holds_every_picture_it_names(evaluated):
    report = (evaluated / "report.md").read_text()
    named = {line.split("](")[1].rstrip(")") for line in report.splitlines() if line[:2] == "!["}
    assert named == {path.name for path in evaluated.iterdir() if path.suffix in (".png", ".jpg")}
    assert {"pr_curve.png", "saliency.jpg", "worst_queries.jpg", "codes.png"} <= named
    for name in named:
        assert (evaluated / name).stat().st_size < 500_000
        with Image.open(evaluated / name) as image:
            assert np.asarray(image.convert("L")).std() > 5
    for word in ("MAP@all", "pointing game", r"mean \|bit correlation\|", "precision@3"):
        assert word in report
    assert "precision@99" not in report  # beyond the gallery of 24


def test_grids_show_the_pictures_that_were_found(ckpt, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "dsah_train.report_pictures.retrieval_grid", lambda rows, _: shown.extend(rows)
    )
    artefact, data = open_artefact(ckpt), load_dataset(DATA)
    m = measure(artefact, data)
    draw_pictures(m, artefact, tmp_path)
    rule = artefact.contract.pixels
    asked, searched = (decode_part(part, rule) for part in (data.query, data.gallery))
    assert len(shown) == 12  # six by lot, the six worst
    for row in shown:
        (q,) = (i for i, picture in enumerate(asked) if (picture == row.query).all())
        assert len(row.hits) == 8
        for hit in row.hits:
            (g,) = (i for i, picture in enumerate(searched) if (picture == hit.image).all())
            assert hit.distance == reference.distance(m.query.codes[q], m.gallery.codes[g], 12)
            assert hit.relevant == (data.query.labels[q] == data.gallery.labels[g])


def test_table_is_printed_and_pictures_can_be_left_out(ckpt, tmp_path, capsys):
    out = tmp_path / "plain"
    command = ["evaluate", str(ckpt), "--data", DATA, "--out", str(out), "--no-pictures"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "expected over ties" in printed
    assert "worst to best over ties" in printed
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "report.md"}


def test_what_every_figure_must_say_is_printed_and_reported(ckpt, tmp_path, capsys, monkeypatch):
    import dataclasses

    noted = dataclasses.replace(load_dataset(DATA), note="seen by the backbone")
    monkeypatch.setattr("dsah_train.evaluation.load_dataset", lambda *_, **__: noted)
    command = ["evaluate", str(ckpt), "--data", DATA, "--no-pictures", "--out", str(tmp_path)]
    assert main(command) == 0
    assert "note: seen by the backbone" in capsys.readouterr().out
    assert "**Note:** seen by the backbone" in (tmp_path / "report.md").read_text()


def test_a_run_folder_stands_for_its_checkpoint(ckpt, tmp_path):
    shutil.copy(ckpt, tmp_path / "ckpt.pt")
    assert main(["evaluate", str(tmp_path), "--data", DATA, "--no-pictures"]) == 0
    assert (tmp_path / "evaluation" / "report.md").is_file()


def test_folder_defaults_to_one_beside_the_checkpoint(tmp_path):
    path = checkpoint(tmp_path / "ckpt.pt", 0)
    assert main(["evaluate", str(path), "--data", DATA, "--no-pictures"]) == 0
    assert (tmp_path / "evaluation" / "evaluation.json").is_file()


def test_exported_graph_is_measured_by_the_same_code(ckpt, evaluated, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from export.to_onnx import export_onnx

    model = tmp_path / "model.onnx"
    export_onnx(load_checkpoint(ckpt), model)
    out = tmp_path / "out"
    arguments = ["evaluate", str(ckpt), "--data", DATA, "--model", str(model), "--out", str(out)]
    assert main(arguments) == 0
    torch_record = json.loads((evaluated / "evaluation.json").read_text())
    record = json.loads((out / "evaluation.json").read_text())
    assert record["artefact"]["file"] == "model.onnx"
    assert abs(record["evaluation"]["map"] - torch_record["evaluation"]["map"]) <= 0.002
    assert record["saliency"]["mass"] == pytest.approx(torch_record["saliency"]["mass"], abs=1e-3)
    assert (out / "saliency.jpg").is_file()
    # Without a checkpoint at all, and so without torch.
    assert main(["evaluate", str(model), "--data", DATA, "--no-pictures", "--out", str(out)]) == 0
    alone = json.loads((out / "evaluation.json").read_text())
    assert alone["evaluation"] == record["evaluation"]
    assert alone["config"] == {}


def test_gallery_of_another_model_of_the_same_space(ckpt, tmp_path):
    space = load_checkpoint(ckpt).contract.space
    student = checkpoint(tmp_path / "student.pt", 1, space=space)
    data = load_dataset(DATA)
    m = measure(open_artefact(student), data, gallery_artefact=open_artefact(ckpt))
    assert m.artefact["fingerprint"] != m.gallery_artefact["fingerprint"]
    rule = load_checkpoint(ckpt).contract.pixels
    for path, part, codes in (
        (student, data.query, m.query.codes),
        (ckpt, data.gallery, m.gallery.codes),
    ):
        loaded = load_checkpoint(path)
        assert (encode(loaded.model, decode_part(part, rule), loaded.contract).codes == codes).all()


def test_another_space_is_refused(ckpt, tmp_path, capsys):
    stranger = checkpoint(tmp_path / "stranger.pt", 1)
    with pytest.raises(SpaceMismatchError, match="space"):
        measure(open_artefact(ckpt), load_dataset(DATA), gallery_artefact=open_artefact(stranger))
    out = tmp_path / "out"
    command = ["evaluate", str(ckpt), "--data", DATA, "--gallery-model", str(stranger)]
    assert main([*command, "--out", str(out)]) == 1
    assert "space" in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture
def folders(tmp_path):
    """Class folders on disk, one of the query pictures cut short."""
    from dsah_train.data.embedded import parse_spec

    root = parse_spec(DATA).write_folder(tmp_path / "data")
    shutil.rmtree(root / "masks")
    victim = sorted((root / "query").rglob("*.png"))[5]
    victim.write_bytes(victim.read_bytes()[:200])
    return root, victim


def test_a_corrupt_picture_is_named_or_skipped(ckpt, folders, tmp_path, capsys):
    root, victim = folders
    command = ["evaluate", str(ckpt), "--data", str(root), "--no-pictures"]
    assert main([*command, "--on-error", "raise", "--out", str(tmp_path / "a")]) == 1
    assert victim.name in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert main([*command, "--out", str(tmp_path / "b")]) == 0
    record = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert record["evaluation"]["queries"] == 11
    assert [name.rsplit("/", 1)[1] for name in record["data"]["skipped"]] == [victim.name]
    assert len(record["data"]["query_names"]) == 11
    assert record["data"]["skipped"][0] not in record["data"]["query_names"]
    assert "left out" in (tmp_path / "b" / "report.md").read_text()
    assert record["saliency"] is None  # no masks here
    with pytest.raises(PictureError, match=victim.name):
        measure(open_artefact(ckpt), load_dataset(root))


def test_figures_are_safe_before_pictures_are_drawn(ckpt, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no such glyph")

    monkeypatch.setattr("dsah_train.report.draw_pictures", fail)
    with pytest.raises(ValueError, match="glyph"):
        main(["evaluate", str(ckpt), "--data", DATA, "--out", str(tmp_path)])
    assert json.loads((tmp_path / "evaluation.json").read_text())["evaluation"]["queries"] == 12


def test_masks_that_are_empty_do_not_count(ckpt, tmp_path, capsys):
    from dsah_train.data.embedded import parse_spec

    root = parse_spec(DATA).write_folder(tmp_path / "data")
    first, second = sorted((root / "masks" / "query").rglob("*.png"))[:2]
    Image.new("L", (64, 64)).save(first)
    second.write_bytes(b"no picture")
    command = ["evaluate", str(ckpt), "--data", str(root), "--out", str(tmp_path / "out")]
    assert main([*command, "--on-error", "raise"]) == 1
    assert f"mask of query/{second.parent.name}/{second.name}" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="2 of 12 masks"):
        m = measure(open_artefact(ckpt), load_dataset(root), on_error="skip")
    assert m.saliency.pictures == 10
    assert main(command) == 0
    assert "10 of 12" in capsys.readouterr().out


def test_held_out_classes_get_the_four_way_report(tmp_path):
    out = tmp_path / "out"
    trained = checkpoint(tmp_path / "ckpt.pt", 0, protocol="open-set:1")
    command = ["evaluate", str(trained), "--data", DATA, "--no-pictures"]
    assert main([*command, "--out", str(out)]) == 0
    record = json.loads((out / "evaluation.json").read_text())
    sizes = {
        name: (record["open_set"][name]["queries"], record["open_set"][name]["gallery"])
        for name in ("seen_on_seen", "seen_on_all", "unseen_on_unseen", "unseen_on_all")
    }
    assert sizes == {
        "seen_on_seen": (8, 16),
        "seen_on_all": (8, 24),
        "unseen_on_unseen": (4, 8),
        "unseen_on_all": (4, 24),
    }
    assert "MAP, unseen on all" in (out / "report.md").read_text()


def test_a_picture_of_both_parts_does_not_find_itself(ckpt):
    import dataclasses

    data = load_dataset(DATA)
    both = dataclasses.replace(data, query=data.gallery.subset(range(0, 24, 2)))
    untrained = open_artefact(ckpt)
    untrained.trained_on = frozenset()
    m = measure(untrained, both)
    assert m.same_items.tolist() == list(range(0, 24, 2))
    pairs = sum(m.evaluation.relevant_distances) + sum(m.evaluation.irrelevant_distances)
    assert pairs == 12 * 23
    assert measure(open_artefact(ckpt), data).same_items is None


def test_prefixes_are_measured_as_codes_of_their_own(ckpt):
    m = measure(open_artefact(ckpt), load_dataset(DATA), prefixes=(1, 12))
    assert m.prefixes[12] == m.evaluation.map
    first = np.packbits(np.unpackbits(m.query.codes, axis=1)[:, :1], axis=1)
    others = np.packbits(np.unpackbits(m.gallery.codes, axis=1)[:, :1], axis=1)
    targets = (m.query.part.targets, m.gallery.part.targets)
    assert m.prefixes[1] == mean_average_precision(first, targets[0], others, targets[1], bits=1)
    with pytest.raises(UsageError, match="prefix of 13"):
        measure(open_artefact(ckpt), load_dataset(DATA), prefixes=(13,))


def test_steps_do_not_change_codes(ckpt, monkeypatch):
    part = load_dataset(DATA).gallery
    whole = CheckpointArtefact(ckpt).encode(part)
    monkeypatch.setattr("dsah_train.artefacts.BYTES_PER_STEP", 5 * 3 * 64 * 64)
    steps = CheckpointArtefact(ckpt).encode(part)
    assert (whole.codes == steps.codes).all()
    assert np.allclose(whole.activations, steps.activations, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--topk", "0"], 2, "--topk"),
        (["--batch-size", "0"], 2, "--batch-size"),
        (["--split-seed", "-1"], 2, "--split-seed"),
        (["--prefixes", "0"], 2, "prefix of 0 bits"),
        (["--data", "no/such/place"], 1, "no/such/place"),
    ],
)
def test_wrong_use_is_named(ckpt, arguments, code, word, tmp_path, capsys):
    command = ["evaluate", str(ckpt), "--data", DATA, "--out", str(tmp_path / "out"), *arguments]
    assert main(command) == code
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_something_else_is_not_a_checkpoint(tmp_path, capsys):
    for name in ("ckpt.pt", "model.onnx"):
        (tmp_path / name).write_bytes(b"something else")
        assert main(["evaluate", str(tmp_path / name), "--data", DATA]) == 1
        assert name in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt.pt", "model.onnx"]


def test_checkpoint_without_torch_names_the_extra(ckpt, monkeypatch, capsys):
    monkeypatch.setattr("dsah_train.find_spec", lambda name: None if name == "torch" else 1)
    assert main(["evaluate", str(ckpt), "--data", DATA]) == 1
    assert ".[train]" in capsys.readouterr().err
    assert "torch" in sys.modules  # it is there; only the check was told otherwise
