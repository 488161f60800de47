"""Plots are complete pictures or named errors, and show what they are given."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from dsah_infer.contract import pack_bits
from dsah_infer.errors import DataError, UsageError
from dsah_train.metrics import evaluate_codes
from dsah_train.plots.codes import code_map
from dsah_train.plots.curves import (
    map_against_bits,
    precision_at_rank,
    precision_recall,
    training_curves,
)
from dsah_train.plots.grids import Hit, RetrievalRow, retrieval_grid, saliency_sheet
from dsah_train.plots.histograms import distance_histogram
from dsah_train.plots.style import GOOD, WRONG

SIDE = 24


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    codes = pack_bits(rng.integers(0, 2, (3, 16))[labels] ^ (rng.random((60, 16)) < 0.2))
    targets = np.eye(3, dtype=np.uint8)[labels]
    return evaluate_codes(codes[:20], targets[:20], codes[20:], targets[20:], bits=16)


def opened(path, most_kb=200):
    """The picture at ``path``, which must be whole, modest in size and alone in its folder."""
    assert path.stat().st_size < most_kb * 1024
    assert not [other for other in path.parent.iterdir() if other.name.startswith(".")]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def has_colour(pixels, colour, tolerance=12):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels.astype(int) - wanted).max(axis=-1) <= tolerance).any()


def test_curves_draw_one_line_per_name(evaluation, tmp_path):
    curves = {"a": evaluation.by_rank, "b": evaluation.by_rank}
    for draw in (precision_recall, precision_at_rank):
        one = opened(draw({"a": evaluation.by_rank}, tmp_path / "new" / "one.png"))
        two = opened(draw(curves, tmp_path / "new" / "two.png"))
        assert has_colour(one, GOOD)
        assert not has_colour(one, WRONG)
        assert has_colour(two, WRONG)  # the second line and its entry in the legend
    assert opened(distance_histogram(evaluation, tmp_path / "new" / "h.png")).std() > 5
    series = {"a": {12: [0.5, 0.6], 48: [0.9]}, "b": {12: [0.3]}}
    assert has_colour(opened(map_against_bits(series, tmp_path / "new" / "m.png")), WRONG)


def test_same_figures_give_same_bytes(evaluation, tmp_path):
    a = precision_recall({"a": evaluation.by_rank}, tmp_path / "a.png").read_bytes()
    assert a == precision_recall({"a": evaluation.by_rank}, tmp_path / "b.png").read_bytes()


def test_training_curves(tmp_path):
    log = tmp_path / "metrics.jsonl"
    lines = [
        {"epoch": e, "phase": p, "step": s, "loss": 5.0 / e, "val_map": e / 4}
        for p in ("select", "refit")
        for e in (1, 2, 3)
        for s in ("attention", "hashing")
    ]
    log.write_text("\n".join(map(json.dumps, [{"started": 1}, *lines])) + '\n{"epo')
    both = opened(training_curves(log, tmp_path / "plots" / "t.png"))
    assert has_colour(both, WRONG)  # the second step
    log.write_text(json.dumps({"epoch": 1, "loss": -1.0}))
    assert len(opened(training_curves(log, tmp_path / "plots" / "t.png"))) < len(both)


def test_training_curves_name_what_is_wrong(tmp_path):
    log = tmp_path / "metrics.jsonl"
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        training_curves(log, tmp_path / "t.png")
    log.write_text("")
    with pytest.raises(DataError, match="no record"):
        training_curves(log, tmp_path / "t.png")
    log.write_text('nonsense\n{"epoch": 1, "loss": 2}\n')
    with pytest.raises(DataError, match="line 1"):
        training_curves(log, tmp_path / "t.png")
    assert not (tmp_path / "t.png").exists()


@pytest.mark.parametrize("count", [2, 40])
def test_code_map(count, tmp_path):
    rng = np.random.default_rng(1)
    codes = pack_bits(rng.integers(0, 2, (count, 16)))
    labels = np.arange(count) % 2
    path = code_map(codes, labels, ("a", "b"), tmp_path / "c.png", bits=16)
    pixels = opened(path)
    assert has_colour(pixels, GOOD)
    assert has_colour(pixels, WRONG)
    with pytest.raises(UsageError, match="labels"):
        code_map(codes, labels[1:], ("a", "b"), tmp_path / "c.png", bits=16)


def photographs(n):
    return np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["g.png", "g.jpg"])
def test_retrieval_grid_frames_hits_by_relevance(name, tmp_path):
    black = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    heat = np.zeros((SIDE, SIDE), dtype=np.float32)

    def grid(*relevant):
        hits = [Hit(black, i, r) for i, r in enumerate(relevant)]
        rows = [RetrievalRow(black, hits, "a label that is far too long for its cell", heat)]
        return opened(retrieval_grid(rows, tmp_path / name, side=48))

    tolerance = 60 if name.endswith("jpg") else 12
    good, wrong = grid(True, True), grid(False, False)
    assert has_colour(good, GOOD, tolerance)
    assert not has_colour(good, WRONG, tolerance)
    assert has_colour(wrong, WRONG, tolerance)
    assert not has_colour(wrong, GOOD, tolerance)
    with pytest.raises(UsageError, match="at least one"):
        retrieval_grid([], tmp_path / name)


def test_saliency_sheet(tmp_path):
    images = photographs(4)
    heat = np.random.default_rng(2).random((4, SIDE, SIDE)).astype(np.float32)
    masks = np.zeros((4, SIDE, SIDE), dtype=bool)
    masks[:, 5:15, 5:15] = True
    plain = opened(saliency_sheet(images, heat, tmp_path / "s.png", side=48))
    drawn = opened(
        saliency_sheet(images, heat, tmp_path / "s.png", masks=masks, labels="abcd", side=48)
    )
    assert plain.shape == drawn.shape
    assert (plain != drawn).any()
    with pytest.raises(UsageError, match="expected"):
        saliency_sheet(images, heat[1:], tmp_path / "s.png")
