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


# --- rivals and DAgH ---------------------------------------------------------------------------


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cross_entropy_of_inner(x, s):
    return math.log(1 + math.exp(x)) - s * x


def dpsh(u, s):
    return mean(cross_entropy_of_inner(dot(u[i], u[j]) / 2, s[i][j]) for i, j in pairs(len(u)))


def dpsh_gap(u):
    return mean((sign(x) - x) ** 2 for row in u for x in row)


def dsh(u, s, margin):
    def one(i, j):
        d = sum((a - b) ** 2 for a, b in zip(u[i], u[j], strict=True))
        return s[i][j] * d / 2 + (1 - s[i][j]) * max(margin - d, 0.0) / 2

    return mean(one(i, j) for i, j in pairs(len(u)))


def dsh_gap(u):
    each = [sum(abs(abs(x) - 1) for x in row) for row in u]
    return mean(each[i] + each[j] for i, j in pairs(len(u)))


def dhn(z, s):
    return mean(cross_entropy_of_inner(dot(z[i], z[j]), s[i][j]) for i, j in pairs(len(z)))


def dhn_gap(z):
    return mean(math.log(math.cosh(abs(x) - 1)) for row in z for x in row)


def hashnet(z, s, alpha):
    counts = {kind: sum(s[i][j] == kind for i, j in pairs(len(z))) for kind in (0.0, 1.0)}
    total = len(pairs(len(z)))
    return mean(
        total / counts[s[i][j]] * cross_entropy_of_inner(alpha * dot(z[i], z[j]), s[i][j])
        for i, j in pairs(len(z))
    )


def csq(u, targets, centres):
    total = []
    for row, hot in zip(u, targets, strict=True):
        for k, x in enumerate(row):
            vote = sum(c[k] for c, y in zip(centres, hot, strict=True) if y)
            t, h = (1.0 if vote >= 0 else 0.0), (math.tanh(x) + 1) / 2
            total.append(-t * math.log(h) - (1 - t) * math.log(1 - h))
    return mean(total)


def orthohash(u, targets, centres, scale, margin):
    total = []
    for row, hot in zip(u, targets, strict=True):
        norm = math.sqrt(dot(row, row))
        scores = [
            scale * (dot(row, c) / (norm * math.sqrt(len(c))) - margin * y)
            for c, y in zip(centres, hot, strict=True)
        ]
        log_sum = math.log(sum(math.exp(x) for x in scores))
        total.append(mean(log_sum - x for x, y in zip(scores, hot, strict=True) if y))
    return mean(total)


def guided(z, bits, scale):
    return mean(
        cross_entropy_of_inner(scale * x, t)
        for row, code in zip(z, bits, strict=True)
        for x, t in zip(row, code, strict=True)
    )


def guided_symbols(z, symbols, arity, scale):
    return mean(
        -math.log(softmax(row[arity * r : arity * (r + 1)], scale)[symbol])
        for row, code in zip(z, symbols, strict=True)
        for r, symbol in enumerate(code)
    )


# --- doh ---------------------------------------------------------------------------------------


def softmax(values, beta):
    powers = [math.exp(beta * v) for v in values]
    return [p / sum(powers) for p in powers]


def segments(row, arity):
    return [row[i : i + arity] for i in range(0, len(row), arity)]


def match(h, arity, beta, i, j):
    a = [softmax(part, beta) for part in segments(h[i], arity)]
    b = [softmax(part, beta) for part in segments(h[j], arity)]
    return mean(dot(x, y) for x, y in zip(a, b, strict=True))


def difference(h, s, arity, beta):
    return mean((s[i][j] - match(h, arity, beta, i, j)) ** 2 for i, j in pairs(len(h)))


def lsrh(h, s, arity, beta, weight):
    top = bottom = 0.0
    for i in range(len(h)):
        for j in range(len(h)):
            if i != j:
                m = match(h, arity, beta, i, j)
                top += (1 - m) if s[i][j] else weight * m
                bottom += 1 if s[i][j] else weight
    return top / bottom


def lsrh_gradient(h, s, arity, beta, weight):
    """The published gradient: beta (P (.) g - (P . g) P), g_i = sum_j F_ij P_j, both orders."""
    n, p = len(h), [[softmax(part, beta) for part in segments(row, arity)] for row in h]
    parts = len(p[0])
    bottom = sum((1 if s[i][j] else weight) for i in range(n) for j in range(n) if i != j)
    result = []
    for i in range(n):
        row = []
        for r in range(parts):
            g = [0.0] * arity
            for j in range(n):
                if i != j:
                    f = weight - (weight + 1) * s[i][j]
                    # Every unordered pair stands in the sum twice.
                    g = [a + 2 * f * b for a, b in zip(g, p[j][r], strict=True)]
            inner = dot(p[i][r], g)
            row += [
                beta * (x * y - inner * x) / (bottom * parts)
                for x, y in zip(p[i][r], g, strict=True)
            ]
        result.append(row)
    return result
