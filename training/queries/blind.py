"""What people made of a candidate's answers beside the live model's."""

from dataclasses import dataclass

from labeling.states import ComparisonOutcome, ComparisonState
from training.intervals import Interval, rate_interval
from training.models import Evaluation

WINNERS = (ComparisonOutcome.A, ComparisonOutcome.B)


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
