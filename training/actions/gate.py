"""The rules that a candidate must pass before it may go live, and where a project sets their limits."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from common.states import record
from labeling.models import Project, User
from labeling.states import CaseState
from training.actions.comparison import as_dict, compare
from training.intervals import rate_interval
from training.models import Evaluation, GateLimits
from training.queries import case_results, measures
from training.queries.gate import gate_limits
from training.states import GATE_CEILINGS, GATE_DEFAULTS, GateRule, Suite

Rule = dict[str, Any]
# Which measure's interval belongs to a rule.
AFTER = {
    GateRule.EFFICACY: "efficacy",
    GateRule.GENERALISATION: "generalisation",
    GateRule.STOP_RATE: "stop_rate",
}
DIFFERENCE = {
    GateRule.NOT_LOWER: "efficacy",
    GateRule.DRIFT: "specificity_drift",
    GateRule.HELD_OUT: "held_out_rise",
}


def judge(*, candidate: Evaluation, baseline: Evaluation) -> list[Rule]:
    """Compare a finished candidate with the finished evaluation of the live model and keep the outcome on the candidate.

    Each rule is {name, passed, value, threshold} and, where there is one, `low` and `high`: the interval at 95 %. The
    value alone decides. A rule with nothing to look at (no case, no probe) is left out, and so is one that the project
    does not ask. `cases` names the cases that were fixed earlier and are wrong again. Only workers may call this.
    """
    candidate.baseline = baseline
    comparison = compare(candidate, baseline)
    limits, forgotten = gate_limits(candidate.project), forgotten_cases(candidate)
    rules = []
    for name, value in _values(candidate, baseline, n_forgotten=len(forgotten)).items():
        limit = limits[name]
        if value is None or limit is None:
            continue
        passed = value <= limit if name in GATE_CEILINGS else value >= limit
        rule = {"name": str(name), "passed": passed, "value": value, "threshold": limit}
        interval = _interval(name, comparison, value, candidate.metrics.get("n_cases") or 0)
        rules.append(rule | {key: interval[key] for key in ("low", "high") if interval})
        if name == GateRule.FORGOTTEN and forgotten:
            rules[-1]["cases"] = forgotten
    candidate.gate, candidate.comparison = rules, {"measures": comparison}
    Evaluation.objects.filter(pk=candidate.pk).update(gate=rules, comparison=candidate.comparison, baseline=baseline)
    return rules


def set_gate_limits(*, project: Project, limits: Mapping[str, float | None], by: User | None = None) -> None:
    """Set the limits of the rules that are named; None: a rule is not asked. Evaluations keep what they were judged by."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        before = gate_limits(project)
        after = before | {GateRule(name): limit for name, limit in limits.items()}
        own = {str(name): limit for name, limit in after.items() if limit != GATE_DEFAULTS[name]}
        row, _is_new = GateLimits.objects.update_or_create(project=project, defaults={"limits": own})
        for name, limit in after.items():
            if limit != before[name]:
                record(row, what=f"gate: {name.value}", before=_words(before[name]), after=_words(limit), by=by)


def broken_share(candidate: Evaluation, baseline: Evaluation) -> float:
    """Return the share of all cases that the live model gets right and the candidate wrong."""
    before, after = case_results(baseline), case_results(candidate)
    if not after:
        return 0.0
    broken = [row_id for row_id, result in after.items() if row_id in before and _is_broken(before[row_id], result)]
    return len(broken) / len(after)


def forgotten_cases(candidate: Evaluation) -> list[int]:
    """Return the cases that a deployed model had fixed and that this one answers wrong."""
    wrong = candidate.results.filter(suite=Suite.REGRESSION, is_right=False, test__case__state=CaseState.FIXED)
    return list(wrong.order_by("test__case_id").values_list("test__case_id", flat=True))


def _values(candidate: Evaluation, baseline: Evaluation, *, n_forgotten: int) -> dict[GateRule, float | None]:
    """Return what each rule looks at, None where there is nothing to look at."""
    found = measures(candidate)
    efficacy_before, efficacy = found["efficacy_before"], found["efficacy_after"]
    has_cases = bool(found["n_cases"])
    old, new = found["held_out_loss_before"], found["held_out_loss_after"]
    return {
        GateRule.EFFICACY: efficacy if has_cases else None,
        GateRule.NOT_LOWER: efficacy - efficacy_before if has_cases and efficacy_before is not None else None,
        GateRule.BROKEN: broken_share(candidate, baseline) if has_cases else None,
        GateRule.FORGOTTEN: n_forgotten if has_cases else None,
        GateRule.GENERALISATION: found["generalisation_after"] if found["n_probes"] else None,
        GateRule.STOP_RATE: found["stop_rate_after"],
        GateRule.DRIFT: found["specificity_drift"],
        GateRule.BASE_DRIFT: found["base_drift"],
        GateRule.HELD_OUT: (new - old) / old if old and new is not None else None,
    }


def _interval(name: GateRule, comparison: Rule, value: float, n_cases: int) -> dict[str, float] | None:
    if name == GateRule.BROKEN:
        return as_dict(rate_interval(round(value * n_cases), n_cases))
    if name in AFTER:
        return comparison.get(AFTER[name], {}).get("after")
    return comparison.get(DIFFERENCE.get(name, ""), {}).get("difference")


def _is_broken(before: Any, after: Any) -> bool:
    return bool(before.is_right) and not after.is_right


def _words(limit: float | None) -> str:
    return "off" if limit is None else f"{limit:g}"
