"""The compare command on evaluation records of known figures."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from dsah_infer.contract import pack_bits
from dsah_infer.errors import DataError, UsageError
from dsah_train import compare
from dsah_train.__main__ import main
from dsah_train.metrics import evaluate_codes


def record(
    folder,
    method,
    bits,
    seed=0,
    split=0,
    noise=0.1,
    name="flowers",
    realised="",
    note="",
    drawn=None,
    names="split",
    start="",
    **config,
):
    """A run folder holding the evaluation of noisy class codes; returns its path.

    ``names`` begins the names of the queries; None for a record of an older version. ``drawn`` is
    the split whose pictures they are, where another split asks with the same.
    """
    # Labels and noise positions are those of the split, as they are for real runs.
    rng = np.random.default_rng(split if drawn is None else drawn)
    labels = rng.integers(0, 4, 60)
    centres = rng.integers(0, 2, (4, bits))
    flips = rng.random((60, bits)) < noise + 0.01 * seed
    codes, targets = pack_bits(centres[labels] ^ flips), np.eye(4, dtype=np.uint8)[labels]
    e = evaluate_codes(codes[:20], targets[:20], codes[20:], targets[20:], bits=bits)
    data = {
        "name": name,
        "protocol": realised or "class-folders",
        "split_seed": split,
        "note": note,
        "skipped": [],
    }
    if names is not None:
        data["query_names"] = [f"{names}{split if drawn is None else drawn}/{i}" for i in range(20)]
    run = folder / f"{method}-{bits}-{seed}-{split}-{noise}-{name}-{len(config)}{start}"
    (run / "evaluation").mkdir(parents=True)
    (run / "evaluation" / "evaluation.json").write_text(
        json.dumps(
            {
                "format_version": 1,
                "artefact": {
                    "file": "ckpt.pt",
                    "method": method,
                    "bits": bits,
                    "fingerprint": run.name,
                    **({"start_weights": start} if start else {}),
                },
                "config": {"method": method, "bits": bits, "seed": seed, **config},
                "data": data,
                "evaluation": dataclasses.asdict(e),
            }
        )
    )
    return run


def groups_of(*paths):
    return compare.group_runs([compare.read_run(path) for path in paths])


def test_seeds_are_one_group_and_settings_are_not(tmp_path):
    groups = groups_of(
        record(tmp_path, "dsah", 16, seed=0, attention=True),
        record(tmp_path, "dsah", 16, seed=1, attention=True),
        record(tmp_path, "dsah", 16, seed=0, noise=0.3, attention=False),
        record(tmp_path, "dpsh", 16, noise=0.3),
        record(tmp_path, "dsah", 8, attention=True),
    )
    assert [(g.name, g.bits, len(g.runs)) for g in groups] == [
        ("dsah attention=True", 16, 2),
        ("dsah attention=False", 16, 1),
        ("dpsh", 16, 1),
        ("dsah attention=True", 8, 1),
    ]
    first = groups[0]
    assert first.map.values == tuple(run.evaluation.map for run in first.runs)
    assert first.map.std == pytest.approx(np.std(first.map.values, ddof=1))


def test_other_start_weights_are_another_experiment(tmp_path):
    paths = [
        record(tmp_path, "csq", 16, seed=seed, start=start)
        for seed, start in ((0, "0a" * 32), (1, "random"), (2, "0a" * 32), (3, ""))
    ]
    assert [(g.name, len(g.runs)) for g in groups_of(*paths[:3])] == [
        ("csq start_weights=0a0a0a0a0a0a", 2),
        ("csq start_weights=random", 1),
    ]
    # Empty values of settings are values.
    nested = [record(tmp_path, "dsah", 16, seed=s, nested=n) for s, n in ((0, ""), (1, "4,16"))]
    assert [g.name for g in groups_of(*nested)] == ["dsah nested=", "dsah nested=4,16"]
    # A version that did not keep them is taken to agree.
    assert [len(g.runs) for g in groups_of(paths[0], paths[2], paths[3])] == [3]


def test_models_of_equal_seeds_are_no_spread_over_seeds(tmp_path):
    one, other = (record(tmp_path, "csq", 16, noise=noise) for noise in (0.1, 0.2))
    with pytest.warns(UserWarning, match="same settings and seeds"):
        (group,) = groups_of(one, other)
    assert len(group.runs) == 2


def test_gain_is_paired_over_splits_and_averaged_over_seeds(tmp_path):
    base = [record(tmp_path, "dpsh", 16, split=s, noise=0.3) for s in (0, 1)]
    ours = [record(tmp_path, "dsah", 16, seed=t, split=s) for s in (0, 1) for t in (0, 1)]
    extra = record(tmp_path, "dsah", 16, split=2)  # the base lacks this split: no pair
    first, second = groups_of(*base, *ours, extra)
    assert first.gain is None

    def scores(paths):
        return np.array([compare.read_run(p).evaluation.average_precision for p in paths])

    by_hand = [scores(ours[:2]).mean(axis=0) - scores(base[:1])[0]]
    by_hand += [scores(ours[2:]).mean(axis=0) - scores(base[1:])[0]]
    assert second.gain.mean == pytest.approx(np.mean(by_hand))
    assert 0 < second.gain.low < second.gain.mean < second.gain.high


def gain(folder, splits, **options):
    folder.mkdir()
    runs = [
        record(folder, method, 16, split=split, noise=noise, **options)
        for method, noise in (("dpsh", 0.3), ("dsah", 0.1))
        for split in splits
    ]
    return groups_of(*runs)[1].gain


@pytest.mark.parametrize("names", ["split", None])
def test_the_same_pictures_in_three_splits_are_no_surer_than_in_one(tmp_path, names):
    one = gain(tmp_path / "one", (0,), drawn=0, names=names)
    three = gain(tmp_path / "three", (0, 1, 2), drawn=0, names=names)
    # Pooled as 60 queries, the interval would be narrower by the root of three.
    assert three.mean == pytest.approx(one.mean)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)


def test_other_pictures_make_the_gain_surer(tmp_path):
    widths = [
        (each := gain(tmp_path / str(splits), splits)).high - each.low
        for splits in ((0,), (1,), (2,), (0, 1, 2))
    ]
    assert widths[3] == pytest.approx(np.mean(widths[:3]) / 3**0.5, rel=0.15)


def test_only_the_same_queries_pair(tmp_path):
    base = record(tmp_path, "dpsh", 16, noise=0.3)
    assert groups_of(base, record(tmp_path, "dsah", 16))[1].gain is not None
    for other in ("others", None):
        run = record(tmp_path / str(other), "dsah", 16, names=other)
        assert groups_of(base, run)[1].gain is None
    drawn = {"protocol": "open-set"}
    runs = [
        record(tmp_path / held, method, 16, realised=f"open-set:{held}@class", **drawn)
        for method, held in (("dpsh", "c"), ("dsah", "d"))
    ]
    assert groups_of(*runs)[1].gain is None  # the seed drew other classes


def test_no_gain_without_a_common_split(tmp_path):
    groups = groups_of(record(tmp_path, "dpsh", 16, split=0), record(tmp_path, "dsah", 16, split=1))
    assert [g.gain for g in groups] == [None, None]


def test_command_writes_table_plots_and_json(tmp_path, capsys):
    runs = [
        record(tmp_path, m, b, seed=s) for m in ("dpsh", "dsah") for b in (8, 16) for s in (0, 1)
    ]
    out = tmp_path / "deep" / "comparison"
    assert main(["compare", *map(str, runs), "--out", str(out)]) == 0
    assert "| dsah | 16 | 2 |" in capsys.readouterr().out
    written = json.loads((out / "compare.json").read_text())
    assert [(g["name"], g["bits"], len(g["runs"])) for g in written] == [
        ("dpsh", 8, 2),
        ("dpsh", 16, 2),
        ("dsah", 8, 2),
        ("dsah", 16, 2),
    ]
    report = (out / "compare.md").read_text()
    for name in ("map_against_bits.png", "pr_curves.png"):
        assert f"]({name})" in report
        with Image.open(out / name) as image:
            assert np.asarray(image.convert("L")).std() > 5


def test_open_set_runs_compare_over_the_classes_that_seeds_draw(tmp_path):
    runs = [
        record(tmp_path, m, 16, split=s, protocol="open-set", realised=f"open-set:c{s},d@class")
        for m in ("dpsh", "dsah")
        for s in (0, 1)
    ]
    base, ours = groups_of(*runs)
    assert (len(base.runs), len(ours.runs), ours.gain is None) == (2, 2, False)
    other = record(tmp_path, "csq", 16, protocol="open-set:x", realised="open-set:x@class")
    with pytest.raises(UsageError, match="different data"):
        groups_of(*runs, other)


def test_a_note_stands_beside_the_figures(tmp_path, capsys):
    run = record(tmp_path, "dsah", 16, note="the backbone has seen these pictures")
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 0
    for text in (capsys.readouterr().out, (tmp_path / "out" / "compare.md").read_text()):
        assert "the backbone has seen these pictures" in text


def test_settings_that_an_older_run_did_not_know_are_its_defaults(tmp_path):
    old = record(tmp_path, "dsah", 16, seed=0)
    new = record(tmp_path, "dsah", 16, seed=1, patience=0)
    other = record(tmp_path, "dsah", 16, seed=2, patience=3, alpha=40.0)
    assert [(g.name, len(g.runs)) for g in groups_of(old, new)] == [("dsah", 2)]
    assert [g.name for g in groups_of(old, other)] == ["dsah patience=0", "dsah patience=3"]


def test_what_cannot_compare_is_named(tmp_path):
    a = record(tmp_path, "dsah", 16)
    with pytest.raises(UsageError, match="different data"):
        groups_of(a, record(tmp_path, "dsah", 16, name="birds"))
    with pytest.raises(UsageError, match="give each run once"):
        groups_of(a, a)
    with pytest.raises(DataError, match="dsah_train evaluate"):
        compare.read_run(tmp_path / "nowhere")
    file = a / "evaluation" / "evaluation.json"
    assert compare.read_run(file) == compare.read_run(a) == compare.read_run(file.parent)
    fields = json.loads(file.read_text())
    for text, word in (
        ("{", "not a record"),
        ("[]", "not a record"),
        (json.dumps(fields | {"evaluation": {}}), "not a record"),
        (json.dumps(fields | {"data": fields["data"] | {"query_names": ["a"]}}), "not one name"),
        (json.dumps(fields | {"format_version": 2}), "format version 2"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=word):
            compare.read_run(a)
