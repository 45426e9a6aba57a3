"""Intervals of what was measured, and of the differences between a candidate and the model that is live."""

from typing import Any

from training.intervals import Interval, mcnemar, paired_difference, rate_interval, relative_rise
from training.models import Evaluation
from training.states import Suite

# Each rate, and what it is a share of.
RATES = {"efficacy": "n_cases", "generalisation": "n_probes", "stop_rate": "n_answers"}
LOSSES = {"specificity_drift": Suite.UNRELATED, "held_out_rise": Suite.HELD_OUT}
MIN_PAIRS = 2

Found = dict[str, Any]
Key = tuple[str, str, int | None]


def compare(candidate: Evaluation, baseline: Evaluation) -> Found:
    """Return, by measure, `before` and `after` (intervals), `difference` (an interval) and `p` of McNemar's test.

    An interval is {value, low, high}. Rates are compared on the prompts that both models were asked, losses on the rows
    that both have read; what fewer than two pairs tell is left out.
    """
    found: Found = {}
    for name, total in RATES.items():
        sides = {"before": _rate(baseline, name, total), "after": _rate(candidate, name, total)}
        found[name] = {side: as_dict(interval) for side, interval in sides.items() if interval}
    right = _paired_answers(candidate, baseline)
    for name, suites in (("efficacy", [Suite.REGRESSION]), ("generalisation", [Suite.PROBE])):
        pairs = [(old, new) for key, (old, new) in right.items() if key[0] in suites]
        if len(pairs) >= MIN_PAIRS:
            found[name]["difference"] = as_dict(paired_difference(*zip(*pairs, strict=True)))
            gained, lost = sum(new > old for old, new in pairs), sum(new < old for old, new in pairs)
            found[name] |= {"p": round(mcnemar(gained, lost), 5), "n_gained": gained, "n_lost": lost}
    for name, suite in LOSSES.items():
        rows = _paired_losses(candidate, baseline, suite)
        if len(rows) >= MIN_PAIRS:
            found[name] = {"difference": as_dict(relative_rise(*zip(*rows, strict=True)))}
    return found


def as_dict(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": round(interval.low, 5), "high": round(interval.high, 5)}


def _rate(evaluation: Evaluation, name: str, total: str) -> Interval | None:
    value, n = evaluation.metrics.get(name), evaluation.metrics.get(total) or 0
    return rate_interval(round(value * n), n) if value is not None and n else None


def _paired_answers(candidate: Evaluation, baseline: Evaluation) -> dict[Key, tuple[bool, bool]]:
    def answers(evaluation: Evaluation) -> dict[Key, bool]:
        rows = evaluation.results.filter(suite__in=[Suite.REGRESSION, Suite.PROBE]).order_by("pk")
        return {
            (suite, row_id, probe): bool(is_right)
            for suite, row_id, probe, is_right in rows.values_list("suite", "row_id", "probe", "is_right")
        }

    before = answers(baseline)
    return {key: (before[key], is_right) for key, is_right in answers(candidate).items() if key in before}


def _paired_losses(candidate: Evaluation, baseline: Evaluation, suite: str) -> list[tuple[float, float, int]]:
    def losses(evaluation: Evaluation) -> dict[str, Found]:
        return dict(evaluation.results.filter(suite=suite).order_by("pk").values_list("row_id", "data"))

    before = losses(baseline)
    pairs = [(before[row_id], new) for row_id, new in losses(candidate).items() if row_id in before]
    return [(old["loss"], new["loss"], new["n_tokens"]) for old, new in pairs if "loss" in old and "loss" in new]
