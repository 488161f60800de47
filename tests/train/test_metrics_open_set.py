"""The four-way open-set report on codes where every answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from dsah_infer.contract import pack_bits
from dsah_infer.errors import UsageError
from dsah_train.metrics import mean_average_precision, open_set_report
from dsah_train.metrics.ranking import numbering
from tests import reference

CENTRES = pack_bits([[0] * 12, [1] * 12, [0] * 6 + [1] * 6])  # classes 0, 1 seen; 2 held out
LABELS = np.repeat(np.arange(3), 4)
TARGETS = np.eye(3, dtype=np.uint8)[LABELS]
SEEN = np.array([True, True, False])


def test_separated_classes_score_one_everywhere():
    codes = CENTRES[LABELS]
    r = open_set_report(codes, TARGETS, codes, TARGETS, seen_classes=SEEN, bits=12)
    assert (r.seen_on_seen.map, r.seen_on_all.map) == (1, 1)
    assert (r.unseen_on_unseen.map, r.unseen_on_all.map) == (1, 1)
    assert (r.seen_on_seen.gallery, r.seen_on_all.gallery) == (8, 12)
    assert (r.unseen_on_unseen.gallery, r.unseen_on_all.gallery) == (4, 12)
    assert r.unseen_on_seen_false_hits == 0


def test_an_unseen_class_on_top_of_a_seen_one_is_caught():
    codes = CENTRES[np.where(LABELS == 2, 0, LABELS)]
    r = open_set_report(codes, TARGETS, codes, TARGETS, seen_classes=SEEN, bits=12)
    assert r.seen_on_seen.map == 1
    assert r.unseen_on_unseen.map == 1
    # Four items of class 0 tie with the four of class 2: the order of ids decides.
    tied = [row for row in numbering(12) if LABELS[row] != 1]
    by_hand = reference.average_precision([LABELS[row] == 2 for row in tied], 4)
    assert r.unseen_on_all.map == pytest.approx(by_hand)
    assert r.unseen_on_all.map_worst == pytest.approx(
        np.mean([(i + 1) / (i + 5) for i in range(4)])
    )
    assert r.unseen_on_seen_false_hits == 4
    whole = mean_average_precision(codes[8:], TARGETS[8:], codes, TARGETS, bits=12)
    assert r.unseen_on_all.map == pytest.approx(whole)


def test_hits_that_share_a_seen_label_are_not_false():
    # An unseen query may carry a seen label as well; what shares it is relevant.
    codes = CENTRES[np.where(LABELS == 2, 0, LABELS)]
    targets = TARGETS.copy()
    targets[8, 0] = 1  # one of the four unseen: class 2 and class 0
    r = open_set_report(codes, targets, codes, targets, seen_classes=SEEN, bits=12)
    assert r.unseen_on_seen_false_hits == pytest.approx(3 * 4 / 4)


def test_both_kinds_are_needed():
    codes = CENTRES[LABELS]
    with pytest.raises(UsageError, match="held-out"):
        open_set_report(codes, TARGETS, codes, TARGETS, seen_classes=~SEEN & SEEN, bits=12)
