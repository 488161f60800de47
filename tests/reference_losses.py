"""Slow, obvious twins of the training losses: plain Python loops over the published sums."""

from __future__ import annotations

import math


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def pairs(n):
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def similar(targets):
    """1 where two multi-hot rows share a class."""
    return [
        [1.0 if any(a and b for a, b in zip(x, y, strict=True)) else 0.0 for y in targets]
        for x in targets
    ]


def sign(x):
    return 1.0 if x >= 0 else -1.0


# --- dsah ------------------------------------------------------------------------------------


def pair_distance(mu, s, i, j):
    k = len(mu[i])
    return abs(s[i][j] - (dot(mu[i], mu[j]) + k) / (2 * k))


def semantic(mu, s, power):
    return sum(pair_distance(mu, s, i, j) ** power for i, j in pairs(len(mu))) / len(mu)


def saliency(mu, mu_sal, s, margin):
    total = 0.0
    for i, j in pairs(len(mu)):
        total += max(margin - pair_distance(mu, s, i, j) + pair_distance(mu_sal, s, i, j), 0.0)
    return total / len(mu)


def quantization(mu):
    return sum(abs(x - sign(x)) for row in mu for x in row) / len(mu)


def centre(mu, targets, centres, scale):
    total = 0.0
    for row, hot in zip(mu, targets, strict=True):
        norm = math.sqrt(dot(row, row))
        scores = [scale * dot(row, c) / (norm * math.sqrt(dot(c, c))) for c in centres]
        log_sum = math.log(sum(math.exp(x) for x in scores))
        share = 1.0 / sum(hot)
        total += sum(share * (log_sum - x) for x, y in zip(scores, hot, strict=True) if y)
    return total / len(mu)
