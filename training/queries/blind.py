"""What people made of a candidate's answers beside the live model's."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from labeling.models import Comparison, Project
from labeling.states import ComparisonOutcome, ComparisonSource, ComparisonState
from training.intervals import Interval, rate_interval
from training.models import Evaluation
from training.strength import Strength, strengths

WINNERS = (ComparisonOutcome.A, ComparisonOutcome.B)
N_COMPARISONS = 5000  # the newest
N_MODELS = 30  # those with the most comparisons


@dataclass(frozen=True)
class BlindResult:
    """`win_rate` is the candidate's share of the pairs that had a winner, None where none had."""

    n: int
    n_open: int
    n_won: int
    n_lost: int
    n_even: int
    win_rate: Interval | None


def blind_result(evaluation: Evaluation) -> BlindResult | None:
    """Return how the pairs of an evaluation stand, None where people were not asked. What was taken out does not count."""
    pairs = evaluation.blind_pairs.exclude(comparison__state=ComparisonState.RETIRED)
    found = list(pairs.values_list("comparison__state", "comparison__outcome", "is_candidate_a"))
    if not found:
        return None
    outcomes = [(outcome, is_a) for state, outcome, is_a in found if state == ComparisonState.DECIDED]
    won = [(outcome == ComparisonOutcome.A) == is_a for outcome, is_a in outcomes if outcome in WINNERS]
    return BlindResult(
        n=len(found),
        n_open=len(found) - len(outcomes),
        n_won=sum(won),
        n_lost=len(won) - sum(won),
        n_even=len(outcomes) - len(won),
        win_rate=rate_interval(sum(won), len(won)) if won else None,
    )


def model_strengths(project: Project) -> list[Strength]:
    """Return how strong the models are by all blind comparisons between two of them, the strongest first; [] without any.

    Even ones are half a win of each.
    """
    rows = Comparison.objects.filter(
        project=project, source=ComparisonSource.EVALUATION, state=ComparisonState.DECIDED
    ).exclude(outcome=ComparisonOutcome.SPLIT)
    met: Counter[str] = Counter()
    wins: dict[tuple[str, str], float] = defaultdict(float)
    for a, b, outcome in rows.order_by("-pk").values_list("origin_a", "origin_b", "outcome")[:N_COMPARISONS]:
        if a == b or not a or not b:
            continue
        met[a] += 1
        met[b] += 1
        share = 1.0 if outcome == ComparisonOutcome.A else 0.0 if outcome == ComparisonOutcome.B else 0.5
        wins[a, b] += share
        wins[b, a] += 1 - share
    kept = {name for name, _n in met.most_common(N_MODELS)}
    return strengths({pair: n for pair, n in wins.items() if kept.issuperset(pair)})
