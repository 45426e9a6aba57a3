"""How strong models are, by who won against whom: the model of R. A. Bradley and M. E. Terry (Biometrika 39, 1952).

The chance that i beats j is 1 / (1 + exp(s_j - s_i)). Each model also has half a win and half a loss against one of strength
0, so that one that never lost has a finite strength and models that never met can be told apart; the more is known, the less
that weighs. The intervals come from the curvature at the maximum. Only the standard library: pages call this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
POINTS = 400 / log(10)  # of Elo's scale: 400 points are odds of ten to one
MEAN_POINTS = 1000.0
ANCHOR = 0.5  # wins, and losses, against strength 0
MOST_STEPS = 100
ENOUGH = 1e-9


@dataclass(frozen=True)
class Strength:
    """`points` on Elo's scale, 1000 is the mean of all; `low` and `high` at 95 %. `n` counts the comparisons."""

    name: str
    points: float
    low: float
    high: float
    n: float


def strengths(wins: Mapping[tuple[str, str], float]) -> list[Strength]:
    """Return how strong each name is, the strongest first. `wins[a, b]`: how often a beat b; a draw is half a win of each."""
    names = sorted({name for pair in wins for name in pair})
    if not names:
        return []
    index = {name: number for number, name in enumerate(names)}
    won = [[0.0] * len(names) for _name in names]
    for (winner, loser), n in wins.items():
        if winner != loser:
            won[index[winner]][index[loser]] += n
    values, covariance = _fit(won)
    mean = sum(values) / len(values)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    found = []
    for number, name in enumerate(names):
        points, half = MEAN_POINTS + POINTS * (values[number] - mean), POINTS * z * _deviation(covariance, number)
        n = sum(won[number]) + sum(row[number] for row in won)
        found.append(Strength(name, points, points - half, points + half, n))
    return sorted(found, key=lambda each: (-each.points, each.name))


def _fit(won: Sequence[Sequence[float]]) -> tuple[list[float], list[list[float]]]:
    """Return the likeliest strengths (m) and their covariance (m, m), by Newton's method: the likelihood is concave."""
    m = len(won)
    values = [0.0] * m
    for _step in range(MOST_STEPS):
        slope, curvature = _derivatives(won, values)
        inverse = _invert(curvature)
        steps = [sum(inverse[i][j] * slope[j] for j in range(m)) for i in range(m)]
        longest = max(abs(step) for step in steps)
        scale = min(1.0, 2.0 / longest) if longest else 1.0  # a long first step may overshoot
        values = [value + scale * step for value, step in zip(values, steps, strict=True)]
        if longest < ENOUGH:
            break
    return values, _invert(_derivatives(won, values)[1])


def _derivatives(won: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[list[float], list[list[float]]]:
    """Return the gradient of the log-likelihood (m) and its negative second derivatives (m, m)."""
    m = len(won)
    slope = [ANCHOR - 2 * ANCHOR * _chance(value) for value in values]
    curvature = [[0.0] * m for _value in values]
    for i, value in enumerate(values):
        chance = _chance(value)
        curvature[i][i] += 2 * ANCHOR * chance * (1 - chance)
    for i in range(m):
        for j in range(i):
            if n := won[i][j] + won[j][i]:
                chance = _chance(values[i] - values[j])
                slope[i] += won[i][j] - n * chance
                slope[j] += won[j][i] - n * (1 - chance)
                weight = n * chance * (1 - chance)
                curvature[i][i] += weight
                curvature[j][j] += weight
                curvature[i][j] -= weight
                curvature[j][i] -= weight
    return slope, curvature


def _chance(difference: float) -> float:
    return 1 / (1 + exp(-difference)) if difference >= 0 else exp(difference) / (1 + exp(difference))


def _deviation(covariance: Sequence[Sequence[float]], number: int) -> float:
    """Return the standard deviation of a strength's distance from the mean of all."""
    m = len(covariance)
    weights = [-1 / m] * m
    weights[number] += 1
    variance = sum(weights[i] * covariance[i][j] * weights[j] for i in range(m) for j in range(m))
    return sqrt(max(variance, 0.0))


def _invert(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the inverse of a positive definite matrix, by Gauss and Jordan."""
    m = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(m))] for i, row in enumerate(matrix)]
    for i in range(m):
        pivot = max(range(i, m), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(m):
            if k != i and (factor := rows[k][i]):
                rows[k] = [value - factor * other for value, other in zip(rows[k], rows[i], strict=True)]
    return [row[m:] for row in rows]
