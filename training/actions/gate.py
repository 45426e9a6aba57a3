"""The rules that a candidate must pass before it may go live."""

from typing import Any

from training.models import Evaluation
from training.queries import case_results, measures
from training.states import GateRule

MIN_EFFICACY = 0.9
MAX_BROKEN = 0.05
MAX_DRIFT = 0.03
MIN_STOP_RATE = 0.99
MIN_GENERALISATION = 0.8

Rule = dict[str, Any]


def judge(*, candidate: Evaluation, baseline: Evaluation) -> list[Rule]:
    """Compare a finished candidate with the finished evaluation of the live model and keep the outcome on the candidate.

    Each rule is {name, passed, value, threshold}; a rule with nothing to look at (no case, no probe) is left out.
    """
    candidate.baseline = baseline
    found = measures(candidate)
    rules: list[Rule] = []
    if found["n_cases"]:
        rules.append(_at_least(GateRule.EFFICACY, found["efficacy_after"], MIN_EFFICACY))
        if found["efficacy_before"] is not None:
            rules.append(_at_least(GateRule.NOT_LOWER, found["efficacy_after"], found["efficacy_before"]))
        rules.append(_at_most(GateRule.BROKEN, broken_share(candidate, baseline), MAX_BROKEN))
    if found["n_probes"]:
        rules.append(_at_least(GateRule.GENERALISATION, found["generalisation_after"], MIN_GENERALISATION))
    if found["stop_rate_after"] is not None:
        rules.append(_at_least(GateRule.STOP_RATE, found["stop_rate_after"], MIN_STOP_RATE))
    if found["specificity_drift"] is not None:
        rules.append(_at_most(GateRule.DRIFT, found["specificity_drift"], MAX_DRIFT))
    candidate.gate = rules
    Evaluation.objects.filter(pk=candidate.pk).update(gate=rules, baseline=baseline)
    return rules


def broken_share(candidate: Evaluation, baseline: Evaluation) -> float:
    """Return the share of all cases that the live model gets right and the candidate wrong."""
    before, after = case_results(baseline), case_results(candidate)
    if not after:
        return 0.0
    broken = [row_id for row_id, result in after.items() if row_id in before and _is_broken(before[row_id], result)]
    return len(broken) / len(after)


def _is_broken(before: Any, after: Any) -> bool:
    return bool(before.is_right) and not after.is_right


def _at_least(name: GateRule, value: float, threshold: float) -> Rule:
    return {"name": str(name), "passed": value >= threshold, "value": value, "threshold": threshold}


def _at_most(name: GateRule, value: float, threshold: float) -> Rule:
    return {"name": str(name), "passed": value <= threshold, "value": value, "threshold": threshold}
