"""The evidence: right on numbers worked out by hand, and rarely wrong on many runs of which we know the truth."""

import random

import pytest

from deployment.doubt import ALPHA, evidence_against_rate, evidence_by_share, highest_rate


def test_evidence_is_the_mean_likelihood_ratio() -> None:
    """One bad conversation at a share of one half: r/(r+1) against 1/2 for r in 1.5, 2, 3, 5, 10, 50."""
    ratios = [0.6 / 0.5, (2 / 3) / 0.5, 0.75 / 0.5, (5 / 6) / 0.5, (10 / 11) / 0.5, (50 / 51) / 0.5]
    assert evidence_by_share([(True, 0.5)]) == pytest.approx(sum(ratios) / 6)
    assert evidence_by_share([(False, 0.5)]) == pytest.approx(sum(2 - ratio for ratio in ratios) / 6)
    assert evidence_by_share([]) == 1


def test_under_no_difference_the_evidence_is_one_on_average() -> None:
    for share in (0.01, 0.1, 0.5, 0.99):
        mean = share * evidence_by_share([(True, share)]) + (1 - share) * evidence_by_share([(False, share)])
        assert mean == pytest.approx(1)


def test_below_the_rate_the_evidence_is_at_most_one_on_average() -> None:
    for rate in (0.02, 0.1, 0.5):
        for truth in (rate, rate / 2):
            mean = truth * evidence_against_rate(1, 1, rate=rate) + (1 - truth) * evidence_against_rate(0, 1, rate=rate)
            assert mean <= 1 + 1e-9


def test_evidence_that_is_too_large_for_a_float_is_still_large() -> None:
    assert evidence_by_share([(True, 0.01)] * 500) > 1e100


def test_the_highest_rate_is_that_of_clopper_and_pearson() -> None:
    assert highest_rate(0, 10, alpha=0.05) == pytest.approx(1 - 0.05**0.1)  # (1 - p)^10 = alpha
    assert highest_rate(9, 10, alpha=0.05) == pytest.approx(0.95**0.1)  # 1 - p^10 = alpha
    assert highest_rate(5, 5, alpha=0.05) == 1.0


def looks(rng: random.Random, *, share: float, live: float, canary: float, n: int, alpha: float) -> int:
    """Return after how many conversations a look at every one of them would have ended the canary; 0: never."""
    bad: list[tuple[bool, float]] = []
    for number in range(1, n + 1):
        is_canarys = rng.random() < share
        if rng.random() < (canary if is_canarys else live):
            bad.append((is_canarys, share))
            if evidence_by_share(bad) >= 1 / alpha:
                return number
    return 0


def test_clean_runs_end_nothing_however_often_one_looks() -> None:
    """Twenty runs of 1,000 conversations at the alpha in use, and 200 at an alpha at which false alarms can be counted."""
    rng = random.Random(20)
    assert not any(looks(rng, share=0.1, live=0.05, canary=0.05, n=1000, alpha=ALPHA) for _run in range(20))
    wrong = sum(looks(rng, share=0.3, live=0.1, canary=0.1, n=300, alpha=0.1) > 0 for _run in range(200))
    assert wrong <= 200 * 0.1  # at most alpha by Ville's inequality


def test_a_bad_canary_ends_soon() -> None:
    """A tenth of the conversations, of which a third goes wrong instead of one in twenty."""
    rng = random.Random(7)
    ends = [looks(rng, share=0.1, live=0.05, canary=0.35, n=1000, alpha=ALPHA) for _run in range(20)]
    assert all(ends)
    assert sorted(ends)[10] < 400


def test_a_new_model_is_held_against_what_the_former_may_have_been() -> None:
    rng = random.Random(3)
    for truth, ends in ((0.05, 0), (0.4, 20)):
        n_ended = 0
        for _run in range(20):
            former = sum(rng.random() < 0.05 for _each in range(200))
            rate = highest_rate(former, 200, alpha=ALPHA / 2)
            n_bad = 0
            for n in range(1, 301):
                n_bad += rng.random() < truth
                if evidence_against_rate(n_bad, n, rate=rate) >= 2 / ALPHA:
                    n_ended += 1
                    break
        assert n_ended == ends
