"""Agreement between people: percent and Krippendorff's alpha, each with a bootstrap interval. For worker processes: loads numpy."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np

Level = Literal["nominal", "ordinal"]
MIN_ITEMS = 20  # with fewer, an interval is as wide as the scale
CONFIDENCE = 0.95
WORK = 400_000  # items times resamples: what a figure may cost
MIN_RESAMPLES, MAX_RESAMPLES = 200, 1000


@dataclass(frozen=True)
class Estimate:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Reliability:
    """`same` and `alpha` are None for fewer than MIN_ITEMS items; `alpha` also when everybody always said the same."""

    n_items: int
    n_judgements: int
    same: Estimate | None = None
    alpha: Estimate | None = None
    values: list[str] = field(default_factory=list)
    table: list[list[int]] = field(default_factory=list)


def measure(
    items: Mapping[int, Mapping[int, str]], *, values: Sequence[str], level: Level, person: int | None = None
) -> Reliability:
    """Measure the agreement on `items`: item to person to the value that they gave, of `values` in their order.

    Items with one judgement say nothing and do not count. With `person`, only the items that they judged count, and
    percent and table only the pairs of judgements that they are part of. `table[i][j]`, i at most j, counts the pairs
    of judgements on one item with these two values. The intervals come from drawing items with replacement (Krippendorff
    2019, Content Analysis, chapter 12; Efron's percentile method), always with the same seed: the same judgements give
    the same figures.
    """
    judged = [item for item in items.values() if len(item) > 1 and (person is None or person in item)]
    place = {value: number for number, value in enumerate(values)}
    counts = np.zeros((len(judged), len(values)), dtype=int)
    pairs = np.zeros((len(judged), 2))  # pairs that are the same, pairs
    table = Counter[tuple[int, int]]()
    for number, item in enumerate(judged):
        for value in item.values():
            counts[number, place[value]] += 1
        for (one, first), (other, second) in combinations(item.items(), 2):
            if person is None or person in (one, other):
                pairs[number] += (first == second, 1)
                table[min(place[first], place[second]), max(place[first], place[second])] += 1
    found = Reliability(
        n_items=len(judged),
        n_judgements=int(counts.sum()),
        values=list(values),
        table=[[table[row, column] for column in range(len(values))] for row in range(len(values))],
    )
    if len(judged) < MIN_ITEMS:
        return found
    same, alpha = _estimates(counts, pairs, level)
    return replace(found, same=same, alpha=alpha)


def _estimates(counts: np.ndarray, pairs: np.ndarray, level: Level) -> tuple[Estimate, Estimate | None]:
    """Return percent and alpha. counts: (items, values) int; pairs: (items, 2) float."""
    n_items = len(counts)
    drawing = np.random.default_rng(12)
    n_resamples = min(MAX_RESAMPLES, max(MIN_RESAMPLES, WORK // n_items))
    same, alphas = [], []
    for _each in range(n_resamples):
        drawn = drawing.integers(0, n_items, n_items)
        equal, all_pairs = pairs[drawn].sum(axis=0)
        same.append(equal / all_pairs)
        alphas.append(_alpha(counts[drawn], level))
    equal, all_pairs = pairs.sum(axis=0)
    alpha = _alpha(counts, level)
    known = [each for each in alphas if each is not None]
    return (
        Estimate(float(equal / all_pairs), *_interval(same)),
        None if alpha is None else Estimate(alpha, *_interval(known)),
    )


def _alpha(counts: np.ndarray, level: Level) -> float | None:
    """Return Krippendorff's alpha, None when one value is all that was said: nothing is left that chance could explain.

    counts: (items, values), every item with two judgements at least. Source: K. Krippendorff, "Computing Krippendorff's
    Alpha-Reliability" (2011), sections C and E. Values c and k coincide o_ck = sum over items of n_c (n_k - [c = k]) / (m - 1)
    times, where the item has m judgements; n_c and n without an item are sums over all of them; alpha is 1 - D_o / D_e with
    D_o = sum of o_ck d_ck and D_e = sum of n_c n_k d_ck / (n - 1). The squared difference d_ck is 1 between two nominal
    values, and between two ordinal ones the square of the judgements from c to k, those at both ends counted by half.
    """
    weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincide = counts.T @ weighted - np.diag(weighted.sum(axis=0))
    said = counts.sum(axis=0)
    if level == "nominal":
        differ = 1.0 - np.eye(len(said))
    else:
        middle = np.cumsum(said) - said / 2
        differ = np.subtract.outer(middle, middle) ** 2
    by_chance = (np.outer(said, said) * differ).sum() / (said.sum() - 1)
    return float(1 - (coincide * differ).sum() / by_chance) if by_chance else None


def _interval(values: Sequence[float]) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
