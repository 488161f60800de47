"""Retrieval metrics on packed codes: numpy and the production ranker, no torch.

`evaluate_codes` gives every figure of one set of codes, `mean_average_precision` only MAP.
"""

from dsah_train.metrics.average_precision import mean_average_precision
from dsah_train.metrics.bits import CodeHealth, code_health
from dsah_train.metrics.intervals import (
    Interval,
    Spread,
    bootstrap_difference,
    bootstrap_mean,
    spread,
)
from dsah_train.metrics.open_set import OpenSetReport, open_set_report
from dsah_train.metrics.record import Curve, Evaluation
from dsah_train.metrics.retrieval import evaluate_codes
from dsah_train.metrics.saliency import SaliencyScore, score_saliency

__all__ = [
    "CodeHealth",
    "Curve",
    "Evaluation",
    "Interval",
    "OpenSetReport",
    "SaliencyScore",
    "Spread",
    "bootstrap_difference",
    "bootstrap_mean",
    "code_health",
    "evaluate_codes",
    "mean_average_precision",
    "open_set_report",
    "score_saliency",
    "spread",
]
