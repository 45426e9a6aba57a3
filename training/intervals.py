"""Intervals of shares and of differences between two models that were asked the same, at 95 %.

`rate_interval` needs the standard library alone, so that pages may call it. Workers call the others: the web processes
import this module but must not carry numpy and scipy, so each function imports them when it is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

CONFIDENCE = 0.95
N_RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


def rate_interval(n_right: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the score interval of a share of `n` > 0 (E. B. Wilson, Journal of the American Statistical Association 22, 1927)."""
    share, z = n_right / n, NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def mcnemar(n_gained: int, n_lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: is a change in one direction more than chance?"""
    from scipy.stats import binomtest

    n_changed = n_gained + n_lost
    return float(binomtest(n_gained, n_changed).pvalue) if n_changed else 1.0


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Return the mean of `after` less that of `before`, with a bootstrap interval over the pairs (at least two)."""
    import numpy as np

    gain = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    return _bootstrap((gain,), lambda each, axis: each.mean(axis=axis))


def relative_rise(before: Sequence[float], after: Sequence[float], weights: Sequence[float]) -> Interval:
    """Return by which share the weighted mean of a loss has risen, with a bootstrap interval over the pairs."""
    import numpy as np

    weight = np.asarray(weights, dtype=float)
    old, new = np.asarray(before, dtype=float) * weight, np.asarray(after, dtype=float) * weight
    return _bootstrap((old, new), lambda a, b, axis: b.sum(axis=axis) / a.sum(axis=axis) - 1)


def _bootstrap(samples: tuple[Any, ...], statistic: Any) -> Interval:
    import numpy as np
    from scipy.stats import bootstrap

    value = float(statistic(*samples, axis=-1))
    if all(len(np.unique(each)) == 1 for each in samples):  # every resample is the sample
        return Interval(value, value, value)
    found = bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=N_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high))
