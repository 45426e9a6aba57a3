"""The intervals are as often right as they say: by simulation, and by examples that can be looked up."""

import numpy as np
import pytest

from training.intervals import mcnemar, paired_difference, rate_interval, relative_rise


@pytest.mark.parametrize(("n", "rate"), [(40, 0.05), (60, 0.2), (200, 0.02), (200, 0.5)])
def test_the_interval_of_a_bad_rate_covers_it_as_often_as_it_says(n, rate) -> None:
    bounds = [rate_interval(k, n) for k in range(n + 1)]
    low, high = np.array([each.low for each in bounds]), np.array([each.high for each in bounds])
    drawn = np.random.default_rng(1).binomial(n, rate, size=50_000)
    coverage = np.mean((low[drawn] <= rate) & (rate <= high[drawn]))
    assert 0.925 <= coverage <= 0.99


@pytest.mark.parametrize("changing", [0.1, 0.4])
def test_the_paired_test_seldom_sees_a_difference_where_there_is_none(changing) -> None:
    n = 60
    chance = np.random.default_rng(2)
    changed = chance.binomial(n, changing, size=20_000)
    gained = chance.binomial(changed, 0.5)
    pairs, times = np.unique(np.stack([gained, changed - gained]), axis=1, return_counts=True)
    is_seen = np.array([mcnemar(int(a), int(b)) < 0.05 for a, b in pairs.T])
    assert times[is_seen].sum() / times.sum() <= 0.05


def test_the_paired_test_sees_a_difference_where_there_is_one() -> None:
    chance = np.random.default_rng(3)
    gained, lost = chance.binomial(60, 0.3, size=300), chance.binomial(60, 0.03, size=300)
    assert np.mean([mcnemar(a, b) < 0.05 for a, b in zip(gained, lost, strict=True)]) > 0.9


def test_the_interval_of_a_difference_covers_it() -> None:
    chance, hits = np.random.default_rng(4), 0
    for _ in range(120):
        before = chance.normal(2.0, 0.5, size=50)
        after = before + chance.normal(0.1, 0.3, size=50)
        found = paired_difference(before, after)
        hits += found.low <= 0.1 <= found.high
    assert hits >= 105


def test_values_that_can_be_looked_up() -> None:
    """Wilson, 9 of 10: 0.596 to 0.982 (Newcombe 1998); McNemar, 1 against 9: 22 / 1024."""
    found = rate_interval(9, 10)
    assert (found.low, found.high) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))
    assert rate_interval(0, 10).high == pytest.approx(1.959964**2 / (10 + 1.959964**2))  # z² / (n + z²)
    assert rate_interval(9, 10, confidence=0.99).low < found.low
    assert mcnemar(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar(0, 0) == 1.0


def test_a_rise_of_losses_is_weighted_by_tokens() -> None:
    """(3 * 1 + 1 * 2) / (2 * 1 + 1 * 2) = 1.25."""
    found = relative_rise([2.0, 1.0], [3.0, 1.0], [1, 2])
    assert found.value == pytest.approx(0.25)
    assert found.low <= 0.25 <= found.high
    same = relative_rise([2.0, 2.0], [2.1, 2.1], [5, 5])
    assert same.low == same.high == pytest.approx(0.05)
