"""MAP and its relatives: a table computed by hand, slow twins, scikit-learn, laws."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsah_infer.contract import pack_bits, pack_symbols
from dsah_infer.errors import CodeError, UsageError
from dsah_train.metrics import Evaluation, evaluate_codes, mean_average_precision
from dsah_train.metrics.ranking import numbering, rank_gallery
from tests import reference


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.uint8)[labels]


def random_set(seed, queries=9, gallery=40, bits=12, classes=4, labels_per_item=1, symbol_bits=1):
    """Codes near their first label's centre, with ties and a few queries without matches."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (classes, bits))

    def draw(n):
        labels = rng.integers(0, classes, (n, labels_per_item))
        flips = rng.random((n, bits)) < 0.25
        targets = np.zeros((n, classes), dtype=np.uint8)
        targets[np.arange(n)[:, None], labels] = 1
        return pack_bits(centres[labels[:, 0]] ^ flips), targets

    return *draw(queries), *draw(gallery)


def by_id(items):
    """A gallery whose item of id i is ``items[i]``."""
    rows = np.empty_like(items)
    rows[numbering(len(items))] = items
    return rows


def in_id_order(*gallery):
    """Codes and targets of a gallery in the order in which the ranker numbers them."""
    return (items[numbering(len(items))] for items in gallery)


# The hand-computed table. Query 0000; gallery by distance, relevant marked *:
#   id 0: 0001 (1)   id 1*: 0010 (1)   id 2*: 0000 (0)   id 3: 0111 (3)   id 4*: 1111 (4)
# Order (distance, id): 2* | 0, 1* | 3 | 4*          R = 3
#   AP@all = (1/1 + 2/3 + 3/5) / 3 = 34/45
#   best   = (1 + 2/2 + 3/5) / 3 = 13/15, worst = 34/45, expected = their mean
#   AP@2   = 1 / min(3, 2) = 1/2;  by retrieved: 1 / 1 = 1
#   AP@3   = (1 + 2/3) / 3 = 5/9;  by retrieved: (1 + 2/3) / 2 = 5/6
#   P@2 = 1/2, P@3 = 2/3; radius 2 holds 2*, 0, 1*: 2/3
HAND_QUERY = pack_bits([[0, 0, 0, 0]])
HAND_GALLERY = by_id(
    pack_bits([[0, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]])
)
HAND_LABELS = by_id(one_hot([1, 0, 0, 1, 0], 2))


def hand(**options):
    return evaluate_codes(
        HAND_QUERY, one_hot([0], 2), HAND_GALLERY, HAND_LABELS, bits=4, topk=(2, 3), **options
    )


def test_hand_computed_table():
    e = hand()
    assert e.map == pytest.approx(34 / 45)
    assert e.map_best == pytest.approx(13 / 15)
    assert e.map_worst == pytest.approx(34 / 45)
    assert e.map_expected == pytest.approx((34 / 45 + 13 / 15) / 2)
    assert e.map_at == pytest.approx({2: 1 / 2, 3: 5 / 9})
    assert e.map_at_retrieved == pytest.approx({2: 1.0, 3: 5 / 6})
    assert e.precision_at == pytest.approx({2: 1 / 2, 3: 2 / 3})
    assert e.precision_radius2 == pytest.approx(2 / 3)
    assert e.empty_radius2 == 0
    assert e.by_rank.at == (1, 2, 3, 4, 5)
    assert e.by_rank.precision == pytest.approx((1, 1 / 2, 2 / 3, 1 / 2, 3 / 5))
    assert e.by_rank.recall == pytest.approx((1 / 3, 1 / 3, 2 / 3, 2 / 3, 1))
    assert e.by_radius.precision == pytest.approx((1, 2 / 3, 2 / 3, 1 / 2, 3 / 5))
    assert e.relevant_distances == (1, 1, 0, 0, 1)
    assert e.irrelevant_distances == (0, 1, 0, 1, 0)
    assert (e.queries, e.gallery, e.queries_without_match) == (1, 5, 0)
    assert e.average_precision == pytest.approx((34 / 45,))
    assert e.average_precision_expected == pytest.approx((e.map_expected,))


def test_a_query_does_not_find_itself():
    e = hand(same_items=numbering(5)[[2]])
    # Left: 0 | 1* | 3 | 4*, R = 2
    assert e.map == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert e.map_best == pytest.approx((1 + 2 / 4) / 2)
    assert e.relevant_distances == (0, 1, 0, 0, 1)
    assert e.by_rank.at == (1, 2, 3, 4)
    assert hand(same_items=np.array([-1])).map == hand().map


def test_queries_without_match_count_as_zero():
    queries = np.repeat(HAND_QUERY, 2, axis=0)
    targets = np.array([[1, 0, 0], [0, 0, 1]], dtype=np.uint8)
    gallery_targets = np.pad(HAND_LABELS, ((0, 0), (0, 1)))
    e = evaluate_codes(queries, targets, HAND_GALLERY, gallery_targets, bits=4, topk=(2,))
    assert e.queries_without_match == 1
    assert e.map == pytest.approx(34 / 45 / 2)
    assert e.map_at[2] == pytest.approx(1 / 4)
    assert e.average_precision == pytest.approx((34 / 45, 0))


def test_empty_ball_has_precision_zero():
    far = pack_bits([[1, 1, 1, 1, 1]])
    e = evaluate_codes(
        pack_bits([[0] * 5]), one_hot([0], 1), far, one_hot([0], 1), bits=5, topk=(1,)
    )
    assert (e.precision_radius2, e.empty_radius2, e.map) == (0, 1, 1)


@pytest.mark.parametrize("labels_per_item", [1, 2])
@pytest.mark.parametrize("k", [None, 1, 7, 1000])
def test_map_equals_slow_twin(k, labels_per_item):
    q, qt, g, gt = random_set(3, labels_per_item=labels_per_item)
    codes, targets = in_id_order(g, gt)
    expected = []
    for code, target in zip(q, qt, strict=True):
        hits = [bool((target & targets[i]).any()) for _, i in reference.rank(code, codes, 12)]
        expected.append(reference.average_precision(hits, sum(hits), k))
    got = mean_average_precision(q, qt, g, gt, bits=12, topk=k)
    assert got == pytest.approx(np.mean(expected))


def test_symbol_codes_rank_by_differing_symbols():
    rng = np.random.default_rng(5)
    q, g = (pack_symbols(rng.integers(0, 4, (n, 6)), 2) for n in (5, 30))
    qt, gt = one_hot(rng.integers(0, 3, 5), 3), one_hot(rng.integers(0, 3, 30), 3)
    codes, targets = in_id_order(g, gt)
    expected = []
    for code, target in zip(q, qt, strict=True):
        hits = [bool((target & targets[i]).any()) for _, i in reference.rank(code, codes, 12, 2)]
        expected.append(reference.average_precision(hits, sum(hits)))
    e = evaluate_codes(q, qt, g, gt, bits=12, symbol_bits=2)
    assert e.map == pytest.approx(np.mean(expected))
    assert len(e.relevant_distances) == 7


def test_agrees_with_scikit_learn_without_ties():
    sklearn_ap = pytest.importorskip("sklearn.metrics").average_precision_score
    # Thermometer codes: item i differs from the query in exactly i bits, so nothing ties.
    gallery = pack_bits(np.tri(40, 40, -1, dtype=np.uint8))
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(0, 2, 40)
        labels[rng.integers(40)] = 1
        got = mean_average_precision(
            pack_bits(np.zeros((1, 40), np.uint8)),
            np.array([[1]], dtype=np.uint8),
            gallery,
            labels[:, None].astype(np.uint8),
            bits=40,
        )
        assert got == pytest.approx(sklearn_ap(labels, -np.arange(40)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), bits=st.integers(1, 20), labels=st.integers(1, 3))
def test_tie_bounds_enclose_the_production_order(seed, bits, labels):
    q, qt, g, gt = random_set(seed, bits=bits, labels_per_item=labels)
    e = evaluate_codes(q, qt, g, gt, bits=bits, topk=(5,))
    slack = 1e-12
    assert e.map_worst - slack <= e.map <= e.map_best + slack
    assert e.map_worst - slack <= e.map_expected <= e.map_best + slack
    assert e.map_at[5] <= e.map_at_retrieved[5] + slack


@pytest.mark.parametrize("order", ["by class", "shuffled"])
def test_a_gallery_in_class_order_is_not_flattered(order):
    # Pairs of classes share one code, so each query's first tie holds two classes of 60 items.
    labels = np.repeat(np.arange(16), 60)
    if order == "shuffled":
        labels = np.random.default_rng(1).permutation(labels)
    codes = pack_bits([[n >> i & 1 for i in range(3)] for n in labels // 2])
    asked = np.arange(16)
    query = pack_bits([[n >> i & 1 for i in range(3)] for n in asked // 2])
    e = evaluate_codes(query, one_hot(asked, 16), codes, one_hot(labels, 16), bits=3)
    # With rows for ids, half of the queries find all of their class first: (1 + .31) / 2 = .66.
    assert e.map == pytest.approx(e.map_expected, abs=0.01)
    assert e.map_expected == pytest.approx(0.518, abs=0.001)
    score = mean_average_precision(query, one_hot(asked, 16), codes, one_hot(labels, 16), bits=3)
    assert score == pytest.approx(e.map)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_map_samples_the_orders_whose_mean_is_expected(seed):
    q, qt, g, gt = random_set(seed, queries=3, bits=4)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(g)) for _ in range(100)]
    maps = [mean_average_precision(q, qt, g[o], gt[o], bits=4) for o in orders]
    expected = evaluate_codes(q, qt, g, gt, bits=4).map_expected
    assert np.mean(maps) == pytest.approx(expected, abs=6 * np.std(maps) / 10 + 1e-9)


def test_numbering_is_a_fixed_permutation():
    rows = numbering(1000)
    assert sorted(rows.tolist()) == list(range(1000))
    assert (rows == numbering(1000)).all()
    assert abs(np.corrcoef(rows, np.arange(1000))[0, 1]) < 0.1


@pytest.mark.parametrize("k", [None, 5])
def test_ranked_rows_are_rows_of_the_gallery(k):
    q, qt, g, gt = random_set(8)
    own = np.array([3, -1, 7, 0, -1, 39, 5, 5, -1])
    g[own[own >= 0]] = q[own >= 0]  # the query itself lies at distance 0
    (ranked,) = rank_gallery(q, qt, g, gt, bits=12, same_items=own, k=k)
    for i, code in enumerate(q):
        real = ranked.rows[i] >= 0
        rows = ranked.rows[i][real]
        assert [reference.distance(code, g[r], 12) for r in rows] == list(ranked.distances[i][real])
        assert [bool((qt[i] & gt[r]).any()) for r in rows] == list(ranked.relevant[i][real])
        assert own[i] not in rows
        assert k or len(rows) == len(g) - (own[i] >= 0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_numbering_of_the_gallery_moves_only_what_depends_on_it(seed):
    q, qt, g, gt = random_set(seed)
    order = np.random.default_rng(seed).permutation(len(g))
    turn = np.random.default_rng(seed + 1).permutation(len(q))
    a = evaluate_codes(q, qt, g, gt, bits=12)
    b = evaluate_codes(q[turn], qt[turn], g[order], gt[order], bits=12)
    for name in ("map_expected", "map_best", "map_worst", "precision_radius2", "empty_radius2"):
        assert getattr(a, name) == pytest.approx(getattr(b, name)), name
    assert a.relevant_distances == b.relevant_distances
    assert a.by_radius.precision == pytest.approx(b.by_radius.precision)


def test_chunks_do_not_change_the_figures(monkeypatch):
    q, qt, g, gt = random_set(11)
    whole = evaluate_codes(q, qt, g, gt, bits=12, same_items=np.arange(len(q)))
    monkeypatch.setattr("dsah_train.metrics.ranking.PAIRS_PER_CHUNK", 2 * len(g))
    assert evaluate_codes(q, qt, g, gt, bits=12, same_items=np.arange(len(q))) == whole


def test_json_round_trip():
    e = hand()
    assert Evaluation.from_json(e.to_json()) == e
    older = json.loads(e.to_json())
    del older["average_precision_expected"]
    assert Evaluation.from_dict(older) == dataclasses.replace(e, average_precision_expected=())
    for text in ("[]", "{}", "no", '{"map_at": 3}'):
        with pytest.raises(UsageError, match="not a record of an evaluation"):
            Evaluation.from_json(text)


def test_wrong_input_is_named():
    ok = {"bits": 4}
    q, qt = HAND_QUERY, one_hot([0], 2)
    with pytest.raises(UsageError, match="multi-hot"):
        evaluate_codes(q, np.array([0]), HAND_GALLERY, HAND_LABELS, **ok)
    with pytest.raises(UsageError, match="only 0 and 1"):
        evaluate_codes(q, qt * 3, HAND_GALLERY, HAND_LABELS, **ok)
    with pytest.raises(UsageError, match="same class list"):
        evaluate_codes(q, one_hot([0], 3), HAND_GALLERY, HAND_LABELS, **ok)
    with pytest.raises(UsageError, match="at least one of each"):
        evaluate_codes(q, qt, HAND_GALLERY[:0], HAND_LABELS[:0], **ok)
    with pytest.raises(UsageError, match="same_items"):
        evaluate_codes(q, qt, HAND_GALLERY, HAND_LABELS, same_items=np.array([5]), **ok)
    with pytest.raises(CodeError, match="query codes"):
        evaluate_codes(q.astype(np.float32), qt, HAND_GALLERY, HAND_LABELS, **ok)
    with pytest.raises(UsageError, match="topk"):
        mean_average_precision(q, qt, HAND_GALLERY, HAND_LABELS, topk=0, **ok)


def test_importing_metrics_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import dsah_train.metrics"
    subprocess.run([sys.executable, "-c", code], check=True)
