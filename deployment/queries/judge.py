"""How far a judge agrees with people and with itself, and what it says of a candidate."""

from dataclasses import dataclass

from deployment.models import Judge, JudgeVerdict
from deployment.states import JudgeOutcome
from labeling.states import ComparisonOutcome, ComparisonState
from training.intervals import Interval, rate_interval
from training.models import Evaluation

LEAST_COMPARED = 30  # comparisons that people and the judge have both decided
LEAST_AGREEMENT = 0.6  # the lower end of the interval has to be above it: half would be chance
WINNERS = (JudgeOutcome.A, JudgeOutcome.B)


@dataclass(frozen=True)
class Standing:
    """`agreement`: of the comparisons in which people and the judge both chose a winner, the share with the same one."""

    n: int
    n_turned: int
    n_unreadable: int
    n_compared: int
    agreement: Interval | None

    @property
    def counts(self) -> bool:
        """Whether its numbers may be shown as numbers."""
        return self.agreement is not None and self.n_compared >= LEAST_COMPARED and self.agreement.low > LEAST_AGREEMENT


@dataclass(frozen=True)
class JudgedPairs:
    """The candidate's share of the pairs of an evaluation in which the judge chose a winner."""

    n: int
    n_won: int
    n_lost: int
    win_rate: Interval | None


def standing_of(judge: Judge) -> Standing:
    """Return how the judge stands, over all comparisons of the project."""
    rows = JudgeVerdict.objects.filter(comparison__project=judge.project_id, judge_name=judge.served_name)
    found = list(rows.values_list("outcome", "comparison__outcome", "comparison__state"))
    both = [
        (mine, people)
        for mine, people, state in found
        if mine in WINNERS and state == ComparisonState.DECIDED and people in (ComparisonOutcome.A, ComparisonOutcome.B)
    ]
    n_same = sum(mine == people for mine, people in both)
    return Standing(
        n=len(found),
        n_turned=sum(mine == JudgeOutcome.TURNED for mine, _people, _state in found),
        n_unreadable=sum(mine == JudgeOutcome.UNREADABLE for mine, _people, _state in found),
        n_compared=len(both),
        agreement=rate_interval(n_same, len(both)) if both else None,
    )


def judged_pairs(judge: Judge, evaluation: Evaluation) -> JudgedPairs:
    """Return what the judge made of the pairs of an evaluation."""
    pairs = evaluation.blind_pairs.exclude(comparison__state=ComparisonState.RETIRED)
    sides = dict(pairs.values_list("comparison", "is_candidate_a"))
    rows = JudgeVerdict.objects.filter(comparison__in=sides, judge_name=judge.served_name, outcome__in=WINNERS)
    won = [(outcome == JudgeOutcome.A) == sides[pk] for pk, outcome in rows.values_list("comparison", "outcome")]
    return JudgedPairs(
        n=len(sides),
        n_won=sum(won),
        n_lost=len(won) - sum(won),
        win_rate=rate_interval(sum(won), len(won)) if won else None,
    )
