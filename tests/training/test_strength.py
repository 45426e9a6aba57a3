"""Strengths by who won against whom."""

import random
from math import exp

import pytest
from django.urls import reverse

from labeling.states import ComparisonOutcome, ComparisonSource, ComparisonState
from tests.factories import ComparisonFactory, TunedModelFactory
from training.queries.blind import model_strengths
from training.strength import POINTS, strengths


def test_one_pair_has_the_odds_that_were_seen() -> None:
    better, worse = strengths({("a", "b"): 7500, ("b", "a"): 2500})
    assert (better.name, better.n) == ("a", 10000)
    assert better.points - worse.points == pytest.approx(POINTS * 1.0986, abs=1)  # log 3
    assert better.points + worse.points == pytest.approx(2000)


def test_models_that_never_met_are_ordered_by_whom_they_beat() -> None:
    found = strengths({("a", "b"): 30, ("b", "a"): 10, ("b", "c"): 30, ("c", "b"): 10})
    assert [each.name for each in found] == ["a", "b", "c"]
    assert found[0].points - found[2].points > 1.8 * (found[0].points - found[1].points)


def test_one_that_never_lost_has_a_finite_strength_and_a_wide_interval() -> None:
    winner, loser = strengths({("a", "b"): 4})
    assert winner.points < 1600
    assert winner.low < 1000 < winner.points
    assert loser.high > 1000
    assert strengths({}) == []


def test_the_intervals_hold_the_truth_nineteen_times_of_twenty() -> None:
    """By simulation: four models, 30 comparisons of each pair."""
    draw = random.Random(5)
    truth = {"a": 0.9, "b": 0.3, "c": -0.4, "d": -0.8}
    mean, n_held, n = sum(truth.values()) / 4, 0, 0
    for _round in range(300):
        wins: dict[tuple[str, str], float] = {}
        for x in truth:
            for y in truth:
                if x < y:
                    chance = 1 / (1 + exp(truth[y] - truth[x]))
                    won = sum(draw.random() < chance for _ in range(30))
                    wins[x, y], wins[y, x] = won, 30 - won
        for each in strengths(wins):
            n_held += each.low <= 1000 + POINTS * (truth[each.name] - mean) <= each.high
            n += 1
    assert 0.93 <= n_held / n <= 0.98


@pytest.mark.django_db
def test_the_report_card_counts_blind_comparisons_between_two_models(project, rita, sign_in) -> None:
    def decided(a: str, b: str, outcome: ComparisonOutcome, source=ComparisonSource.EVALUATION) -> None:
        ComparisonFactory(
            project=project, origin_a=a, origin_b=b, outcome=outcome, source=source, state=ComparisonState.DECIDED
        )

    for _number in range(5):
        decided("ft:new", "ft:old", ComparisonOutcome.A)
    decided("ft:old", "ft:new", ComparisonOutcome.SAME)
    decided("ft:old", "ft:new", ComparisonOutcome.SPLIT)
    decided("ft:old", "ft:new", ComparisonOutcome.A, ComparisonSource.IMPORT)
    TunedModelFactory(project=project)
    found = model_strengths(project)
    assert [(each.name, each.n) for each in found] == [("ft:new", 6), ("ft:old", 6)]
    page = sign_in(rita).get(reverse("training-evaluation-card", args=[project.slug])).content.decode()
    assert "Bradley" in page
    assert "ft:old" in page
