"""The table of measures: a model beside the one that it is compared with."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.intervals import rate_interval
from training.models import Evaluation
from training.queries import measures
from training.queries.report import suite_shares

# name, label, what it is counted over (a metric) or said of, form: share, loss or number, always shown
MEASURES: tuple[tuple[str, str | Promise, str | Promise, str], ...] = (
    ("efficacy", _("Efficacy"), _("cases answered right"), "share"),
    ("generalisation", _("Generalisation"), _("probes answered right"), "share"),
    ("sampled_efficacy", _("Efficacy, sampled"), _("one answer to each case, drawn at temperature 0.7"), "share"),
    ("margin", _("Margin"), _("log-likelihood per token: correction less wrong output"), "number"),
    ("chrf", "chrF", _("likeness to the correction, 0 to 100"), "number"),
    ("checks", _("Checks"), _("checks satisfied"), "share"),
    ("gold_right", _("Gold tasks"), _("whose checks are satisfied"), "share"),
    ("gold_chrf", _("Gold tasks, chrF"), _("likeness to the reference answer, 0 to 100"), "number"),
    ("own_chrf", _("Own suites, chrF"), _("likeness to the ideal response, 0 to 100"), "number"),
    ("stop_rate", _("Stop rate"), _("answers that end by themselves"), "share"),
    ("answer_tokens", _("Length"), _("tokens of an answer"), "number"),
    ("repetition", _("Repetition"), _("phrases of four words said before in the same answer"), "share"),
    ("language", _("Language"), _("answers in the language of the correction"), "share"),
    ("held_out_loss", _("Held-out loss"), _("on rows kept apart for testing"), "loss"),
    ("held_out_accuracy", _("Held-out token accuracy"), _("tokens that the model finds likeliest"), "share"),
    ("validation_loss", _("Validation loss"), _("on rows that training looks at but does not learn"), "loss"),
)
ALWAYS = ("efficacy", "generalisation", "stop_rate", "held_out_loss")
COUNTS = {
    "efficacy": "n_cases",
    "generalisation": "n_probes",
    "held_out_loss": "n_held_out",
    "validation_loss": "n_validation",
    "gold_right": "n_gold",
    "gold_chrf": "n_gold",
    "own_chrf": "n_own",
}
RISES = {"held_out_loss": "held_out_rise"}


def measure_rows(evaluation: Evaluation, baseline: Evaluation | None) -> list[dict[str, Any]]:
    """Return the lines of the table; `interval_before`, `interval_after` and `difference` are {low, high} where known."""
    before, after = baseline.metrics if baseline else {}, evaluation.metrics
    intervals = evaluation.comparison.get("measures", {})
    rows = []
    for name, label, hint, form in MEASURES:
        if after.get(name) is None and name not in ALWAYS:
            continue
        known = intervals.get(name, {})
        rows.append(
            {
                "label": label,
                "hint": hint,
                "n": after.get(COUNTS.get(name, "")),
                "form": form,
                "before": before.get(name),
                "after": after.get(name),
                "interval_before": known.get("before"),
                "interval_after": known.get("after"),
                "difference": intervals.get(RISES.get(name, name), {}).get("difference"),
                "p": known.get("p"),
            }
        )
    found = measures(evaluation)
    drift = {"n": after.get("n_unrelated"), "form": "drift", "before": None}
    from_live = drift | {
        "label": _("Specificity drift"),
        "hint": _("rise of the loss on answers to unrelated prompts"),
        "after": found["specificity_drift"],
        "difference": intervals.get("specificity_drift", {}).get("difference"),
    }
    from_base = drift | {
        "label": _("Drift since the base model"),
        "hint": _("the same, all cycles together"),
        "after": found["base_drift"],
    }
    return [
        *rows,
        *_own_rows(evaluation, baseline),
        from_live,
        *([from_base] if found["base_drift"] is not None else []),
    ]


def _own_rows(evaluation: Evaluation, baseline: Evaluation | None) -> list[dict[str, Any]]:
    """Return a line for each suite of the project's own."""
    before = suite_shares(baseline) if baseline else {}
    rows = []
    for name, (n_right, n) in suite_shares(evaluation).items():
        old = before.get(name)
        rows.append(
            {
                "label": name,
                "hint": _("own suite: prompts answered right"),
                "n": n,
                "form": "share",
                "before": old[0] / old[1] if old else None,
                "after": n_right / n,
                "interval_before": rate_interval(*old) if old else None,
                "interval_after": rate_interval(n_right, n),
            }
        )
    return rows
